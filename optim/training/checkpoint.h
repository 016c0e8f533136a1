// SPDX-License-Identifier: MIT
// A training run in one safetensors file: the weights and running statistics under PyTorch's names, and under
// "gradamp." all other state that later steps depend on. Equal states give equal bytes.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "gradamp/core/communicator.h"
#include "gradamp/data/files/file_system.h"
#include "gradamp/data/files/safetensors.h"
#include "gradamp/layers/state_dict.h"
#include "gradamp/optim/optimizer.h"

namespace gradamp {

/// The live objects of a run whose state a checkpoint stores.
struct CheckpointState {
  Module& network;
  Optimizer& optimizer;
  const StepState& state;
};

/// The position of a run. Epoch 0, finished: before the first.
struct CheckpointPosition {
  int epoch = 0;
  bool epoch_finished = true;  // else inside the epoch, at StepState's position
};

/// A tensor of a run or of a weights file has an element that is not finite.
class NotFiniteTensor : public Error {
 public:
  /// `where`: the file, or what the tensor belongs to.
  NotFiniteTensor(const std::string& where, const std::string& name, std::size_t index, double value);
  /// "element 3 of 'conv1.weight'".
  const std::string& element() const { return element_; }

 private:
  std::string element_;
};

/// Weights fit a network except for its head: the file has one for another number of classes, or none.
class HeadMismatch : public Error {
 public:
  using Error::Error;
};

/// Writes `path` whole or not at all, and keeps the previous checkpoint as `path`.previous. `epoch_finished`: the
/// position is the end of the epoch in state.counters, not inside it. `settings`: what determines the numbers, as text.
/// NotFiniteTensor, and nothing is written, if an element of the state is not finite.
void save_checkpoint(const std::filesystem::path& path, const CheckpointState& state, bool epoch_finished,
                     const std::string& settings, FileSystem& file_system);

/// Copies rank 0's state and position to the other ranks, whose networks and options are the same.
void broadcast_state(const CheckpointState& state, CheckpointPosition& position, Communicator& ranks);

/// Writes only the weights and running statistics, whole or not at all, for load_weights. NotFiniteTensor, and nothing
/// is written, if an element is not finite.
void save_weights(const std::filesystem::path& path, Module& network,
                  const std::map<std::string, std::string>& metadata, FileSystem& file_system = real_file_system());

/// A checkpoint that has been read and verified. Threads: it is const, so several threads may read it at once.
class CheckpointFile {
 public:
  /// Error with the reason if the file cannot be read, is damaged, or is no checkpoint of a run.
  CheckpointFile(std::filesystem::path path, FileSystem& file_system);

  const std::filesystem::path& path() const { return path_; }
  const CheckpointPosition& position() const { return position_; }
  /// The first epoch of the measuring window that was open; 0: none was.
  int window_first_epoch() const { return window_first_epoch_; }
  /// The text that was given to save_checkpoint.
  const std::string& settings() const { return settings_; }

  /// Restores everything bit for bit, or throws Error with the reason and restores nothing. Also an Error: the file is
  /// from the same kind of device with another numerics version (core/numerics.h).
  void restore(const CheckpointState& state) const;
  /// Like restore(), without the selected layers: neither the run of `state` nor that of the file has selected any yet.
  void restore_beginning(const CheckpointState& state) const;

 private:
  void check_version(const CheckpointState& state) const;
  void restore(const CheckpointState& state, const std::vector<NamedBuffer>& tensors) const;

  std::filesystem::path path_;
  TensorFile file_;
  CheckpointPosition position_;
  int window_first_epoch_ = 0;
  std::string settings_;
};

/// Loads only the weights and running statistics, from a checkpoint or any safetensors file with PyTorch's names, in
/// f32, bf16, f16 or f64. Names may begin with what PyTorch's wrappers put in front: "module." (DataParallel),
/// "_orig_mod." (torch.compile), or "model.". NotFiniteTensor if an element is not finite. With Head::kKeep the head
/// keeps its values; without it, a HeadMismatch says that Head::kKeep would accept the file. Error for other weights.
/// With any of these the network is unchanged.
void load_weights(const std::filesystem::path& path, Module& network, FileSystem& file_system = real_file_system(),
                  Head head = Head::kLoad);

}  // namespace gradamp
