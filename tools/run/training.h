// SPDX-License-Identifier: MIT
// Functions that train a network from settings and write a run's folder.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/core/communicator.h"
#include "gradamp/data/files/file_system.h"
#include "gradamp/optim/training/evaluator.h"
#include "gradamp/optim/training/training_records.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// How a run ended.
struct TrainingOutcome {
  bool completed = false;  // false: it was interrupted and saved, and can be resumed
  EpochSummary last;       // the last whole epoch; its `epoch` is 0 if there is none
  double best_accuracy = 0;
  int best_epoch = 0;
  std::optional<double> best_validation_accuracy;  // the highest, of the first epoch that reached it
  int best_validation_epoch = 0;                   // 0: no images are held out
  double seconds = 0;                              // time of training and evaluation, summed over all resumed parts
  int ranks = 1;                                   // processes that trained this part of the run
  /// Of the time of rank 0 in exchanges with the others, waiting included. Not known if GPUs exchange.
  std::optional<double> exchange_share;
  std::vector<SelectionSummary> selections;
  std::filesystem::path run_folder;
};

/// Receives the events of a run. All calls come from the training thread.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  /// `description`: device, dataset, network and strategy, with one line each.
  virtual void on_start(const std::vector<std::string>& description) { (void)description; }
  virtual void on_step(const StepProgress& progress) { (void)progress; }
  /// After each batch of the evaluation at the end of an epoch.
  virtual void on_evaluation(const StepProgress& progress) { (void)progress; }
  virtual void on_epoch(const EpochSummary& summary) { (void)summary; }
  virtual void on_selection(const SelectionSummary& summary) { (void)summary; }
  virtual void on_measure(const MeasureSummary& summary) { (void)summary; }
};

struct TrainingControl {
  /// A signal sets this flag. The run then finishes the current step, saves and ends.
  const std::atomic<bool>* stop = nullptr;
  TrainingObserver* observer = nullptr;
  FileSystem* file_system = nullptr;  // null: the real one
  int last_epoch = 0;                 // the run ends after this epoch, and can be resumed; 0: the strategy's last
  /// For resume(): the path of the data, if it is no longer the run's. config.json gets it.
  std::string data = {};
  /// For resume(): the length of the measuring windows from here on, if it changes. config.json gets it.
  std::optional<std::int64_t> measure_every = {};
  /// For resume(): the settings of the longer run that this run becomes (extended_settings).
  std::optional<RunSettings> extended = {};
  /// The command line, for config.json; empty: none.
  std::string command = {};
  /// The processes of this run (core/communicator.h): rank 0 calls train(), branch() or resume(), the others
  /// train_as_rank(). Null: this one alone.
  Communicator* ranks = nullptr;
  int local_ranks = 1;  // on this host
  int local_rank = 0;   // the number of this one among them
};

/// Trains from the beginning and writes to settings.run_folder, which must not contain a run yet. Error before training
/// if a setting or the data is invalid. If the loss or a gradient is not finite, the Error names the epoch, the step
/// and the last good checkpoint, and that checkpoint is not overwritten.
TrainingOutcome train(const RunSettings& settings, const TrainingControl& control);

/// Trains the same run as train(), with the same result bit for bit, but starts from the run in `trunk` instead of the
/// first epoch. The trunk must be at the end of an epoch. Its state and its logs are copied. Error if the trunk has
/// trained epochs that the two runs do not share (shared_epochs), or on other images.
TrainingOutcome branch(const RunSettings& settings, const std::filesystem::path& trunk, const TrainingControl& control);

/// Resumes the run in `run_folder` from its last checkpoint with its settings. The result is the same, bit for bit, as
/// without the interruption (if the number of threads is the same). If the run is finished, returns its outcome and
/// trains nothing. Error if the images or labels are no longer those with which the run began, wherever they are.
TrainingOutcome resume(const std::filesystem::path& run_folder, const TrainingControl& control);

/// The part of a rank other than 0 in a run that rank 0 trains, branches or resumes. It takes the settings and the
/// state from rank 0, reads the images itself, and writes no file. `given`: the settings that this process was started
/// with (of --resume: the defaults). If a rank was started with others, or has another device, build or images, that is
/// an Error on rank 0, which ends all.
void train_as_rank(const RunSettings& given, const TrainingControl& control);

struct Evaluations {
  Evaluation test;
  std::optional<Evaluation> validation;  // present if images are held out for it
  std::vector<std::string> notes;        // messages of the device's self-check for the user, one line each
};
/// Loss and accuracy of `weights` (a checkpoint or any safetensors file with PyTorch's names) on the images of the
/// settings. If `outputs` is not empty, writes a safetensors file there with the network's outputs for the test images:
/// the tensor `outputs`, f32 (images, classes), before the softmax.
Evaluations evaluate(const RunSettings& settings, const std::filesystem::path& weights,
                     const std::filesystem::path& outputs = {});

}  // namespace gradamp
