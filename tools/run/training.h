// SPDX-License-Identifier: MIT
// The training loop: from settings to a trained network and a run's folder.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/data/files/file_system.h"
#include "gradamp/optim/training/evaluator.h"
#include "gradamp/optim/training/training_records.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// How a run ended.
struct TrainingOutcome {
  bool completed = false;  // else it was interrupted, saved, and can be resumed
  EpochSummary last;       // of the last whole epoch; epoch 0: none
  double best_accuracy = 0;
  int best_epoch = 0;
  double seconds = 0;  // of training and evaluation, over all resumed parts
  std::vector<SelectionSummary> selections;
  std::filesystem::path run_folder;
};

/// Hears how a run goes; every call comes from the training thread.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  /// `description`: device, dataset, network and strategy, a line each.
  virtual void on_start(const std::vector<std::string>& description) { (void)description; }
  virtual void on_step(const StepProgress& progress) { (void)progress; }
  virtual void on_epoch(const EpochSummary& summary) { (void)summary; }
  virtual void on_selection(const SelectionSummary& summary) { (void)summary; }
};

struct TrainingControl {
  /// Set by a signal: the step under way is finished, the run saved and ended.
  const std::atomic<bool>* stop = nullptr;
  TrainingObserver* observer = nullptr;
  FileSystem* file_system = nullptr;  // null: the real one
  int last_epoch = 0;                 // the run is ended after it, and can be resumed; 0: the strategy's last
};

/// Trains from the beginning into settings.run_folder, which must not hold a run yet. Error, with nothing trained,
/// where a setting or the data is bad; Error with epoch, step and the last good checkpoint where the loss or a gradient
/// is not finite, with nothing saved over it.
TrainingOutcome train(const RunSettings& settings, const TrainingControl& control);

/// The same run, begun with what it has in common with the run in `trunk`, which stands at the end of an epoch: the
/// trunk's weights and logs are taken over, and the result is that of train(), bit for bit. Error where the trunk has
/// gone beyond that (shared_epochs).
TrainingOutcome branch(const RunSettings& settings, const std::filesystem::path& trunk, const TrainingControl& control);

/// Goes on with the run in `run_folder` from its last checkpoint, with its settings, bit for bit as if it had never
/// been broken off (on the same number of threads). Of a finished run it gives the outcome and trains nothing.
TrainingOutcome resume(const std::filesystem::path& run_folder, const TrainingControl& control);

struct Evaluations {
  Evaluation test;
  std::optional<Evaluation> validation;  // where images are held out for it
  std::vector<std::string> notes;        // for the user, one line each: what the device's self-check says
};
/// Loss and accuracy of weights (a checkpoint or any safetensors file with PyTorch's names) on the settings' images.
/// `outputs`, where not empty: a safetensors file to write with what the network gives for the test images, `outputs`
/// f32 (images, classes), before the softmax.
Evaluations evaluate(const RunSettings& settings, const std::filesystem::path& weights,
                     const std::filesystem::path& outputs = {});

}  // namespace gradamp
