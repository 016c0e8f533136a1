// SPDX-License-Identifier: MIT
// Trainer: the training loop, from a module and data to a trained network, on one device. It owns the order of an
// epoch's beginning, steps, end and evaluation, so that none is forgotten.
//
//   const auto backend = make_backend(Device{});
//   const StepState state = make_step_state(*backend, 1);
//   MyNetwork network(*backend, state);
//   initialize(network, Initialization::kPyTorch, 1);
//   TrainerOptions options;
//   options.optimizer.strategy = parse_strategy("10:0.1, 20:0.1:2, 30:0.01");
//   Trainer trainer(network, state, upload_training_data(*backend, train, test), options);
//   trainer.run();
//
// Within an epoch the host issues steps and does not wait for them. A Trainer, its network and its data are on one
// device. Threads: one thread at a time calls a Trainer and uses its network and Backend. Callbacks are called by the
// thread that is in run(). Another thread or a signal handler may set the stop flag at any time. Two Trainers on two
// backends of the device cpu may run in two threads at once, and give the bits that each gives alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "gradamp/data/device_dataset.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/optim/training/checkpoint.h"
#include "gradamp/optim/training/evaluator.h"
#include "gradamp/optim/training/gpu_check.h"
#include "gradamp/optim/training/training_records.h"
#include "gradamp/optim/training/training_steps.h"

namespace gradamp {

struct TrainerOptions {
  std::int64_t batch_size = 128;  // images; an epoch's last batch may be smaller
  /// Parts of each batch, whose gradients are summed (core/shard.h): 1, 2, 4, ... up to kMaxShards and the batch size.
  std::int64_t shards = 1;
  /// Whose statistics batch norms have in training if there are several shards.
  BatchNormStatistics batch_norm = BatchNormStatistics::kLocal;
  /// The processes that compute the shards together (core/communicator.h), each with a Trainer of the same options,
  /// data and network; null: this one alone. It changes no bit. When run() begins, all take over rank 0's state, so
  /// that rank 0 alone loads a checkpoint; all go on to the same epoch. It must outlive the Trainer.
  /// After an exception of run() other than NotFinite, ranks on GPUs need a new Trainer.
  Communicator* ranks = nullptr;
  std::int64_t evaluation_batch = 500;  // images; changes speed and memory only
  OptimizerOptions optimizer;           // its strategy sets the number of epochs
  /// The training loss. Evaluations always use cross-entropy without label smoothing.
  CrossEntropyParams loss = {};
  /// Checked before each step: once it is true, on any of the ranks, run() returns after the issued steps. Any thread
  /// may set it.
  const std::atomic<bool>* stop = nullptr;
  /// What determines the numbers, written to checkpoints and compared when one is loaded; of a JSON object the message
  /// names the values that differ. Empty: these options, the augmentation, and the number and shape of the images as a
  /// JSON object; that network and images are the same is up to the caller.
  std::string settings;
  /// Called with the backend when a Trainer is made, to throw Error for a device that computes wrongly; empty: nothing
  /// is checked. The default checks a GPU once per process (optim/training/gpu_check.h).
  std::function<void(const Backend&)> check_device = check_gpu;
};

/// Functions that run() calls, if set, on the thread that called run(). They may call evaluate(), except
/// for on_evaluation, in which it is an Error; on_step and on_epoch may also call save().
struct TrainerCallbacks {
  std::function<void(const StepProgress&)> on_step;        // on a GPU about every eighth step
  std::function<void(const StepProgress&)> on_evaluation;  // after each evaluated batch at the end of an epoch
  std::function<void(const SelectionSummary&)> on_selection;
  /// At the end of each window of OptimizerOptions::measure_every, before the epoch's on_epoch.
  std::function<void(const MeasureSummary&)> on_measure;
  std::function<void(const EpochSummary&)> on_epoch;
};

/// A number of the run is not finite: the loss or a gradient of a step, after which no parameter has changed (also
/// where a label was no class, which makes the loss a NaN); the loss of an evaluation; or an element of what would be
/// saved.
class NotFinite : public Error {
 public:
  NotFinite(int epoch, std::int64_t step);
  /// `what`: "the loss on the test images".
  NotFinite(int epoch, const std::string& what);
  int epoch() const { return epoch_; }
  /// The step of the run, from 1; 0: it was found at the end of the epoch, or when the run was saved.
  std::int64_t step() const { return step_; }

 private:
  int epoch_;
  std::int64_t step_;
};

class Trainer {
 public:
  /// `network` must outlive it and its weights be there already; its parameters move into the optimizer's arena.
  /// `state` is the one that the network's dropouts have. Error where an option is out of range, the options do not go
  /// together, network, state and data are not on one device, or the images are too small for the network.
  Trainer(Module& network, const StepState& state, TrainingData data, TrainerOptions options,
          TrainerCallbacks callbacks = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Trains from position() to the end of `last_epoch`, or of the strategy's last epoch if `last_epoch` is 0. Returns
  /// false if the stop flag ended it early. NotFinite if a loss or a gradient is not finite; only load() can continue
  /// after that. An epoch that ends so is not reported to on_epoch. OutOfMemory or Error, with a batch size that fits,
  /// if the device has too little memory.
  bool run(int last_epoch = 0);

  const CheckpointPosition& position() const { return position_; }
  /// Whether the strategy's last epoch is done.
  bool finished() const { return position_.epoch_finished && position_.epoch >= epochs(); }
  int epochs() const { return options_.optimizer.strategy.epochs(); }
  /// Steps of a whole epoch.
  std::int64_t steps_per_epoch() const;

  /// Writes all state that later steps depend on to `path`, whole or not at all; the previous file is kept as
  /// `path`.previous. NotFinite, with nothing written, if the state is not finite. Error after NotFinite, until load(),
  /// and in the callbacks at the end of an epoch before on_epoch (on_selection, on_evaluation, on_measure).
  void save(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
  /// Resumes from a checkpoint, bit for bit as if the run had never been interrupted. Error, with nothing changed, if
  /// it is damaged, or if its settings, network or numerics version differ. OptimizerOptions::measure_every may differ:
  /// if no window was open, the next epoch opens one.
  void load(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
  void load(const CheckpointFile& file);
  /// The same, whatever the settings in the file: the caller has compared them.
  void load_compared(const CheckpointFile& file);
  /// The same from a run that has selected nothing yet, whatever its settings: the caller knows that it began as this
  /// one.
  void load_beginning(const CheckpointFile& file);

  /// Evaluates on the test images.
  Evaluation evaluate() { return evaluator_.run(); }
  /// Evaluates on the validation images; nothing if the data have none.
  std::optional<Evaluation> evaluate_validation();

  const Optimizer& optimizer() const { return optimizer_; }
  const TrainingData& data() const { return data_; }

 private:
  bool train_to(int last_epoch);
  void share_state();
  bool is_stopped() const;
  void begin_epoch(int epoch);
  bool train_epoch(int epoch);
  void finish_epoch(int epoch, double seconds);
  void check_finite(int epoch, const char* what, double value);
  void drain_reports(int epoch, std::int64_t first, double seconds, bool wait);
  void report_selection(const std::optional<EpochRecord>& record) const;
  void report_measures(const std::optional<MeasureRecord>& record) const;
  std::int64_t images_to_evaluate() const;
  StepProgress progress(int epoch, const StepReport& report) const;
  using RestoreFunction = void (CheckpointFile::*)(const CheckpointState&) const;
  void restore(const CheckpointFile& file, RestoreFunction function);
  CheckpointState checkpoint_state() { return {network_, optimizer_, state_}; }

  Module& network_;
  StepState state_;
  TrainingData data_;
  TrainerOptions options_;
  TrainerCallbacks callbacks_;
  Optimizer optimizer_;
  std::unique_ptr<TensorExchange> exchange_;  // with the other ranks; null: this process is alone
  TrainingSteps steps_;
  Evaluator evaluator_;
  std::optional<Evaluator> validator_;
  CheckpointPosition position_;
  bool is_broken_ = false;        // since NotFinite
  bool is_ending_epoch_ = false;  // its steps are done, but position_ does not say so yet
  StepProgress last_progress_;
  double images_per_second_ = 0;
  double evaluation_seconds_ = 0;  // of the last epoch
};

}  // namespace gradamp
