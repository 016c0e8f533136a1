// SPDX-License-Identifier: MIT
#include "tools/training.h"

#include <chrono>

#include "core/operations.h"
#include "kernels/backends.h"
#include "nets/networks.h"
#include "tools/checkpoint.h"
#include "tools/run_folder.h"
#include "tools/training_data.h"

namespace gradamp {
namespace {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

FileSystem& file_system_of(const TrainingControl& control) {
  return control.file_system ? *control.file_system : real_file_system();
}

std::shared_ptr<Module> make_run_network(Backend& backend, const RunSettings& settings, int classes,
                                         const StepState& state) {
  return make_network(settings.network, backend, NetworkOptions{classes, static_cast<float>(settings.dropout), state});
}

/// A run in memory: the device, the data, the network and its optimizer.
class Trainer {
 public:
  /// `fresh`: no checkpoint will replace the weights, so settings.weights are read.
  Trainer(const RunSettings& settings, const TrainingControl& control, bool fresh)
      : settings_(settings),
        control_(control),
        backend_(make_backend(parse_device(settings.device), {settings.threads})),
        data_(load_training_data(*backend_, settings)),
        state_(make_step_state(*backend_, settings.seed)),
        network_(make_run_network(*backend_, settings, data_.train.classes, state_)),
        strategy_(settings.resolved_strategy()) {
    initialize(*network_, settings.initialization, settings.seed);
    if (fresh && !settings.weights.empty()) load_weights(settings.weights, *network_, file_system_of(control));
    optimizer_.emplace(*network_, state_, settings.optimizer_options());
  }

  std::string backend_description() const { return backend_->description(); }

  std::vector<std::string> description() const {
    return {"device    " + backend_->description(), "training  " + data_.train.description,
            "testing   " + data_.test.description,
            fmt::format("network   {}, {} parameters", settings_.network, optimizer_->arena().parameter_count()),
            fmt::format("strategy  {} ({} epochs)", to_string(strategy_), strategy_.epochs())};
  }

  /// Trains on from `position` to the end, or until stopped. `folder`'s logs end at that position.
  TrainingOutcome run(const RunFolder& folder, CheckpointPosition position) {
    const int epochs = strategy_.epochs();
    int epoch = position.epoch_finished ? position.epoch + 1 : position.epoch;
    for (bool resumed = !position.epoch_finished; epoch <= epochs; ++epoch, resumed = false) {
      const Stopwatch watch;
      if (!resumed) begin_epoch(folder, epoch);
      if (!train_epoch(folder, epoch)) {
        save(folder, false);
        TrainingOutcome outcome = folder.read_outcome();
        folder.write_summary(outcome);
        return outcome;
      }
      finish_epoch(folder, epoch, watch);
    }
    TrainingOutcome outcome = folder.read_outcome();
    outcome.completed = true;
    folder.write_summary(outcome);
    return outcome;
  }

  CheckpointPosition restore(const RunFolder& folder) {
    return load_checkpoint(folder.checkpoint(), checkpoint_state(), file_system_of(control_));
  }

  bool finished(CheckpointPosition position) const {
    return position.epoch_finished && position.epoch >= strategy_.epochs();
  }

 private:
  CheckpointState checkpoint_state() { return {settings_, *network_, *optimizer_, state_}; }

  void save(const RunFolder& folder, bool epoch_finished) {
    save_checkpoint(folder.checkpoint(), checkpoint_state(), epoch_finished, file_system_of(control_));
  }

  void report(const RunFolder& folder, const std::optional<EpochRecord>& record) {
    if (!record) return;
    const std::int64_t steps = (data_.train.count + settings_.batch_size - 1) / settings_.batch_size;
    const std::int64_t iterations = steps * record->window_epochs();
    const SelectionSummary summary{record->epoch(), iterations > 0 ? noise_floor(iterations) : 0.0, record->read()};
    folder.append(summary);
    if (control_.observer) control_.observer->on_selection(summary);
  }

  void begin_epoch(const RunFolder& folder, int epoch) {
    std::vector<std::int64_t> counters = state_.counters.to_host<std::int64_t>();
    counters[kEpoch] = epoch;
    counters[kPosition] = 0;
    state_.counters.copy_from_host(std::span<const std::int64_t>(counters));
    state_.metrics.fill_zero();
    report(folder, optimizer_->begin_epoch(epoch));
  }

  /// The rest of the epoch; false where it was stopped.
  bool train_epoch(const RunFolder& folder, int epoch) {
    const Stopwatch watch;
    const Tensor order = make_order(*backend_, data_.train.count, settings_.seed, epoch);
    const std::int64_t first = state_.counters.to_host<std::int64_t>()[kPosition];
    for (std::int64_t done = first; done < data_.train.count;) {
      if (control_.stop && control_.stop->load()) return false;
      const std::int64_t count = std::min(settings_.batch_size, data_.train.count - done);
      step(order, count);
      done += count;
      look(folder, epoch, done);
      images_per_second_ = static_cast<double>(done - first) / watch.seconds();
      if (control_.observer) control_.observer->on_step(progress(epoch, done));
    }
    return true;
  }

  void step(const Tensor& order, std::int64_t count) {
    const Batch batch = gather_batch(data_.train.images, data_.train.labels, order, count, state_, data_.train_gather);
    optimizer_->begin_step();
    // The logits' handle goes before the backward, so that their graph is released as it is walked.
    const Variable loss =
        softmax_cross_entropy(network_->forward(Variable(batch.images), Mode::kTraining), batch.labels, state_);
    loss.backward();
    optimizer_->step();
    backend_->advance_step(state_, count);
  }

  /// The host's look at the device: stops the run where a loss or gradient was not finite.
  void look(const RunFolder& folder, int epoch, std::int64_t done) {
    const std::int64_t bad_step = state_.counters.to_host<std::int64_t>()[kFirstBadStep];
    if (bad_step == 0) return;
    const bool saved = std::filesystem::exists(folder.checkpoint());
    fail(
        "the loss or a gradient is not finite in epoch {}, image {}, step {} of the run; nothing was saved since. {}; "
        "try a smaller learning rate",
        epoch, done, bad_step,
        saved ? "The last good checkpoint is " + folder.checkpoint().string() : "There is no checkpoint yet");
  }

  StepProgress progress(int epoch, std::int64_t done) const {
    const std::vector<double> metrics = state_.metrics.to_host<double>();
    const double images = static_cast<double>(done);
    const double left = static_cast<double>(data_.train.count) * (strategy_.epochs() - epoch + 1) - images;
    return {epoch,
            strategy_.epochs(),
            done,
            data_.train.count,
            metrics[kLossSum] / images,
            metrics[kCorrect] / images,
            images_per_second_,
            left / images_per_second_};
  }

  void finish_epoch(const RunFolder& folder, int epoch, const Stopwatch& watch) {
    report(folder, optimizer_->end_epoch());
    const Evaluation test = evaluate_network(*network_, data_.test, data_.test_gather, settings_.evaluation_batch);
    const std::vector<double> metrics = state_.metrics.to_host<double>();
    const EpochPlan plan = optimizer_->plan(epoch);
    const double images = static_cast<double>(data_.train.count);
    EpochSummary summary{
        epoch,         strategy_.epochs(), plan.learning_rate, metrics[kLossSum] / images, metrics[kCorrect] / images,
        test.loss,     test.accuracy,      watch.seconds(),    images_per_second_,         plan.analyzed,
        plan.amplified};
    folder.append(summary);
    save(folder, true);
    if (control_.observer) control_.observer->on_epoch(summary);
  }

  RunSettings settings_;
  TrainingControl control_;
  std::unique_ptr<Backend> backend_;
  TrainingData data_;
  StepState state_;
  std::shared_ptr<Module> network_;
  Strategy strategy_;
  std::optional<Optimizer> optimizer_;
  double images_per_second_ = 0;
};

}  // namespace

TrainingOutcome train(const RunSettings& given, const TrainingControl& control) {
  given.validate();
  check(!given.run_folder.empty(), "expected a run folder");
  RunSettings settings = given;
  settings.epochs = given.resolved_strategy().epochs();
  Trainer trainer(settings, control, true);
  const RunFolder folder =
      RunFolder::create(settings.run_folder, settings, trainer.backend_description(), file_system_of(control));
  if (control.observer) control.observer->on_start(trainer.description());
  return trainer.run(folder, {0, true});
}

TrainingOutcome resume(const std::filesystem::path& run_folder, const TrainingControl& control) {
  const RunFolder folder = RunFolder::open(run_folder, file_system_of(control));
  const bool has_checkpoint = std::filesystem::exists(folder.checkpoint());
  Trainer trainer(folder.settings(), control, !has_checkpoint);
  std::vector<std::string> description = trainer.description();
  if (trainer.backend_description() != folder.backend_description()) {
    description.push_back("warning   the run began on '" + folder.backend_description() +
                          "': from here on it will not be the same to the bit");
  }
  CheckpointPosition position{0, true};
  if (has_checkpoint) position = trainer.restore(folder);
  description.push_back(fmt::format("resumed   {} epoch {}", position.epoch_finished ? "after" : "in", position.epoch));
  const int finished = position.epoch_finished ? position.epoch : position.epoch - 1;
  // A random selection is made, and logged, at the start of an epoch, a measured one at its end.
  folder.trim_logs(finished, folder.settings().selection == SelectionMethod::kRandom ? position.epoch : finished);
  if (trainer.finished(position)) {
    TrainingOutcome outcome = folder.read_outcome();
    outcome.completed = true;
    folder.write_summary(outcome);
    return outcome;
  }
  if (control.observer) control.observer->on_start(description);
  return trainer.run(folder, position);
}

Evaluation evaluate(const RunSettings& settings, const std::filesystem::path& weights) {
  const std::unique_ptr<Backend> backend = make_backend(parse_device(settings.device), {settings.threads});
  const TrainingData data = load_training_data(*backend, settings);
  const std::shared_ptr<Module> network =
      make_run_network(*backend, settings, data.train.classes, make_step_state(*backend, 0));
  load_weights(weights, *network, real_file_system());
  return evaluate_network(*network, data.test, data.test_gather, settings.evaluation_batch);
}

}  // namespace gradamp
