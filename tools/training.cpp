// SPDX-License-Identifier: MIT
#include "tools/training.h"

#include <chrono>

#include "data/safetensors.h"
#include "kernels/backends.h"
#include "nets/networks.h"
#include "tools/checkpoint.h"
#include "tools/run_folder.h"
#include "tools/self_check.h"
#include "tools/training_data.h"
#include "tools/training_steps.h"

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

/// Where "auto" is: the GPU where there is one that this build can use.
Device resolve_device(const std::string& name) {
  if (name != "auto") return parse_device(name);
  for (const DeviceStatus& status : device_statuses())
    if (status.device.kind == DeviceKind::kCuda && status.available) return status.device;
  return Device{DeviceKind::kCpu};
}

/// Adds to `notes` what a self-check of the device says. Error if it disagrees.
std::unique_ptr<Backend> make_run_backend(const RunSettings& settings, std::vector<std::string>& notes) {
  BackendOptions options;
  options.threads = settings.threads;
  options.precision = settings.precision;
  const Device device = resolve_device(settings.device);
  for (std::string& note : require_self_check(device, settings.precision)) notes.push_back(std::move(note));
  return make_backend(device, options);
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
        backend_(make_run_backend(settings, notes_)),
        data_(load_training_data(*backend_, settings)),
        state_(make_step_state(*backend_, settings.seed)),
        network_(make_run_network(*backend_, settings, data_.train.classes, state_)),
        strategy_(settings.resolved_strategy()) {
    initialize(*network_, settings.initialization, settings.seed);
    if (fresh && !settings.weights.empty()) load_weights(settings.weights, *network_, file_system_of(control));
    optimizer_.emplace(*network_, state_, settings.optimizer_options());
    steps_.emplace(settings_, data_, state_, *network_, *optimizer_);
    evaluator_.emplace(*network_, data_.test, data_.test_gather, settings.evaluation_batch);
    if (data_.validation)
      validator_.emplace(*network_, *data_.validation, data_.test_gather, settings.evaluation_batch);
  }

  std::string backend_description() const { return backend_->description(); }

  std::vector<std::string> description() const {
    std::vector<std::string> lines = {"device    " + backend_->description()};
    lines.insert(lines.end(), notes_.begin(), notes_.end());
    lines.push_back("training  " + data_.train.description);
    lines.push_back("testing   " + data_.test.description +
                    (data_.validation ? "; " + data_.validation->description : ""));
    lines.push_back(
        fmt::format("network   {}, {} parameters", settings_.network, optimizer_->arena().parameter_count()));
    lines.push_back(fmt::format("strategy  {} ({} epochs)", to_string(strategy_), strategy_.epochs()));
    for (std::string& warning : strategy_warnings()) lines.push_back(std::move(warning));
    return lines;
  }

  /// Trains on from `position` to the end, or until stopped. `folder`'s logs end at that position.
  TrainingOutcome run(const RunFolder& folder, CheckpointPosition position) {
    const int epochs = control_.last_epoch > 0 ? std::min(control_.last_epoch, strategy_.epochs()) : strategy_.epochs();
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
    outcome.completed = outcome.last.epoch == strategy_.epochs();
    folder.write_summary(outcome);
    return outcome;
  }

  CheckpointPosition restore(const RunFolder& folder) {
    return load_checkpoint(folder.checkpoint(), checkpoint_state(), file_system_of(control_));
  }

  /// To where the run in `trunk` is, as if this one had come so far.
  CheckpointPosition load_beginning_of(const RunFolder& trunk) {
    return load_beginning(trunk.checkpoint(), checkpoint_state(), file_system_of(control_));
  }

  /// Writes to `folder` what this run would have left there by now, after load_beginning_of.
  void take_over(const RunFolder& trunk, const RunFolder& folder, CheckpointPosition position) {
    folder.copy_epochs(trunk, position.epoch);
    save(folder, true);
  }

  bool finished(CheckpointPosition position) const {
    return position.epoch_finished && position.epoch >= strategy_.epochs();
  }

 private:
  /// On a GPU, where a look takes a little of its time.
  static constexpr std::int64_t kStepsPerLook = 8;

  std::int64_t steps_of_epoch() const { return (data_.train.count + settings_.batch_size - 1) / settings_.batch_size; }

  /// Of phases that analyse and select to no effect.
  std::vector<std::string> strategy_warnings() const {
    std::vector<std::string> warnings;
    if (settings_.selection != SelectionMethod::kMeasure) return warnings;
    int first = 1;
    bool analyzes = false;
    for (const Phase& phase : strategy_.phases) {
      analyzes = analyzes || phase.amplify;
      if (phase.amplify && phase.end_epoch == first)
        warnings.push_back(fmt::format(
            "warning   the phase of epoch {} amplifies nothing: its first epoch is analysed, and it has no other",
            first));
      first = phase.end_epoch + 1;
    }
    if (analyzes && steps_of_epoch() == 1)
      warnings.push_back("warning   an epoch is a single step, after which G and G' are 1 for every layer");
    return warnings;
  }

  CheckpointState checkpoint_state() { return {settings_, *network_, *optimizer_, state_}; }

  void save(const RunFolder& folder, bool epoch_finished) {
    save_checkpoint(folder.checkpoint(), checkpoint_state(), epoch_finished, file_system_of(control_));
  }

  void report(const RunFolder& folder, const std::optional<EpochRecord>& record) {
    if (!record) return;
    const std::int64_t iterations = steps_of_epoch() * record->window_epochs();
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

  /// The rest of the epoch; false where it was stopped. The host asks for the steps and waits only at the end.
  bool train_epoch(const RunFolder& folder, int epoch) {
    const Stopwatch watch;
    steps_->begin_epoch(epoch);
    const std::int64_t first = state_.counters.to_host<std::int64_t>()[kPosition];
    const std::int64_t interval = backend_->device().kind == DeviceKind::kCuda ? kStepsPerLook : 1;
    std::int64_t done = first;
    for (std::int64_t step = 1; done < data_.train.count; ++step) {
      if (control_.stop && control_.stop->load()) break;
      const std::int64_t count = std::min(settings_.batch_size, data_.train.count - done);
      steps_->run(count);
      done += count;
      if (step % interval == 0 || done == data_.train.count) steps_->look();
      hear(folder, epoch, first, watch, false);
    }
    if (done < data_.train.count) steps_->look();
    hear(folder, epoch, first, watch, true);
    return done == data_.train.count;
  }

  /// Takes the reports that have arrived, or waits for all of them. Stops the run where a loss or gradient was not
  /// finite: the device has changed nothing since.
  void hear(const RunFolder& folder, int epoch, std::int64_t first, const Stopwatch& watch, bool wait) {
    while (const std::optional<StepReport> report = steps_->next_report(wait)) {
      if (report->first_bad_step != 0) fail_not_finite(folder, epoch, *report);
      images_per_second_ = static_cast<double>(report->position - first) / watch.seconds();
      if (control_.observer) control_.observer->on_step(progress(epoch, *report));
    }
  }

  [[noreturn]] void fail_not_finite(const RunFolder& folder, int epoch, const StepReport& report) const {
    const bool saved = std::filesystem::exists(folder.checkpoint());
    fail(
        "the loss or a gradient is not finite in epoch {}, step {} of the run; nothing was saved since. {}; try a "
        "smaller "
        "learning rate",
        epoch, report.first_bad_step,
        saved ? "The last good checkpoint is " + folder.checkpoint().string() : "There is no checkpoint yet");
  }

  StepProgress progress(int epoch, const StepReport& report) const {
    const double images = static_cast<double>(report.position);
    const double left = static_cast<double>(data_.train.count) * (strategy_.epochs() - epoch + 1) - images;
    return {epoch,
            strategy_.epochs(),
            report.position,
            data_.train.count,
            report.loss_sum / images,
            report.correct / images,
            images_per_second_,
            left / images_per_second_};
  }

  void finish_epoch(const RunFolder& folder, int epoch, const Stopwatch& watch) {
    report(folder, optimizer_->end_epoch());
    const Evaluation test = evaluator_->run();
    const std::vector<double> metrics = state_.metrics.to_host<double>();
    const EpochPlan plan = optimizer_->plan(epoch);
    const double images = static_cast<double>(data_.train.count);
    EpochSummary summary;
    summary.epoch = epoch;
    summary.epochs = strategy_.epochs();
    summary.learning_rate = plan.learning_rate;
    summary.train_loss = metrics[kLossSum] / images;
    summary.train_accuracy = metrics[kCorrect] / images;
    summary.test_loss = test.loss;
    summary.test_accuracy = test.accuracy;
    if (validator_) {
      const Evaluation validation = validator_->run();
      summary.validation_loss = validation.loss;
      summary.validation_accuracy = validation.accuracy;
    }
    summary.seconds = watch.seconds();
    summary.images_per_second = images_per_second_;
    summary.analyzed = plan.analyzed;
    summary.amplified = plan.amplified;
    folder.append(summary);
    save(folder, true);
    if (control_.observer) control_.observer->on_epoch(summary);
  }

  RunSettings settings_;
  TrainingControl control_;
  std::vector<std::string> notes_;  // of the device's self-check
  std::unique_ptr<Backend> backend_;
  TrainingData data_;
  StepState state_;
  std::shared_ptr<Module> network_;
  Strategy strategy_;
  std::optional<Optimizer> optimizer_;
  std::optional<TrainingSteps> steps_;
  std::optional<Evaluator> evaluator_, validator_;
  double images_per_second_ = 0;
};

/// Checked, with what follows from the machine and the strategy put in place.
RunSettings resolved(const RunSettings& given) {
  given.validate();
  check(!given.run_folder.empty(), "expected a run folder");
  RunSettings settings = given;
  settings.epochs = given.resolved_strategy().epochs();
  settings.device = to_string(resolve_device(given.device));
  return settings;
}

}  // namespace

TrainingOutcome train(const RunSettings& given, const TrainingControl& control) {
  const RunSettings settings = resolved(given);
  Trainer trainer(settings, control, true);
  const RunFolder folder =
      RunFolder::create(settings.run_folder, settings, trainer.backend_description(), file_system_of(control));
  if (control.observer) control.observer->on_start(trainer.description());
  return trainer.run(folder, {0, true});
}

TrainingOutcome branch(const RunSettings& given, const std::filesystem::path& trunk, const TrainingControl& control) {
  const RunSettings settings = resolved(given);
  const RunFolder beginning = RunFolder::open(trunk, file_system_of(control));
  check(std::filesystem::exists(beginning.checkpoint()), "{} has no checkpoint to branch from yet", trunk.string());
  Trainer trainer(settings, control, false);
  check(trainer.backend_description() == beginning.backend_description(),
        "{} began on '{}' and this run is on '{}': expected the same, so that it is the same to the bit",
        trunk.string(), beginning.backend_description(), trainer.backend_description());
  const CheckpointPosition position = trainer.load_beginning_of(beginning);
  const RunFolder folder =
      RunFolder::create(settings.run_folder, settings, trainer.backend_description(), file_system_of(control));
  trainer.take_over(beginning, folder, position);
  if (control.observer) {
    std::vector<std::string> description = trainer.description();
    description.push_back(fmt::format("branched  after epoch {} of {}", position.epoch, trunk.string()));
    control.observer->on_start(description);
  }
  return trainer.run(folder, position);
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

Evaluations evaluate(const RunSettings& settings, const std::filesystem::path& weights,
                     const std::filesystem::path& outputs) {
  std::vector<std::string> notes;
  const std::unique_ptr<Backend> backend = make_run_backend(settings, notes);
  const TrainingData data = load_training_data(*backend, settings);
  const std::shared_ptr<Module> network =
      make_run_network(*backend, settings, data.train.classes, make_step_state(*backend, 0));
  load_weights(weights, *network, real_file_system());
  const auto evaluator = [&](const DeviceDataset& images) {
    return Evaluator(*network, images, data.test_gather, settings.evaluation_batch);
  };
  Evaluator test = evaluator(data.test);
  Evaluations evaluations{test.run(), std::nullopt, std::move(notes)};
  if (data.validation) evaluations.validation = evaluator(*data.validation).run();
  if (!outputs.empty()) {
    const std::vector<float> values = test.outputs();
    write_safetensors(
        outputs, {{"outputs", DType::kF32, {data.test.count, data.test.classes}, std::as_bytes(std::span(values))}}, {},
        Keep::kNothing, real_file_system());
  }
  return evaluations;
}

}  // namespace gradamp
