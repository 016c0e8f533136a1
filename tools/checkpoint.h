// SPDX-License-Identifier: MIT
// A training run in one safetensors file: the weights and running statistics under PyTorch's names, and under
// "gradamp." everything else that the steps to come depend on. Equal states give equal bytes.
#pragma once

#include <filesystem>

#include "data/file_system.h"
#include "optim/optimizer.h"
#include "tools/settings.h"

namespace gradamp {

/// What a checkpoint is of: the live objects of a run.
struct CheckpointState {
  const RunSettings& settings;
  Module& network;
  Optimizer& optimizer;
  const StepState& state;
};

/// Writes `path` whole or not at all, and keeps the checkpoint before as `path`.previous. `epoch_finished`: the
/// position is the end of the epoch in state.counters, not inside it.
void save_checkpoint(const std::filesystem::path& path, const CheckpointState& state, bool epoch_finished,
                     FileSystem& file_system);

struct CheckpointPosition {
  int epoch = 0;
  bool epoch_finished = true;
};

/// Reads `path` and restores everything bit for bit, or throws Error with the reason and restores nothing.
CheckpointPosition load_checkpoint(const std::filesystem::path& path, const CheckpointState& state,
                                   FileSystem& file_system);

/// Reads the checkpoint of another run that stands at the end of an epoch which it has in common with this one
/// (shared_epochs), as if this run had trained so far itself. Error where it has not.
CheckpointPosition load_beginning(const std::filesystem::path& path, const CheckpointState& state,
                                  FileSystem& file_system);

/// Only the weights and running statistics, of a checkpoint or of any safetensors file with PyTorch's names.
void load_weights(const std::filesystem::path& path, Module& network, FileSystem& file_system);

}  // namespace gradamp
