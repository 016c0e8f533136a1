// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"
#include "gradamp/optim/training/rank_exchange.h"

namespace gradamp {
namespace {

/// Used on a GPU, on which each poll costs some time.
constexpr std::int64_t kStepsPerPoll = 8;

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// What determines the numbers, as a JSON object.
std::string describe(const TrainerOptions& options, const TrainingData& data) {
  const GatherParams& gather = data.train_gather;
  const Shape& shape = data.train.images.shape();
  nlohmann::json values = {{"images", data.train.count},
                           {"height", shape[1]},
                           {"width", shape[2]},
                           {"channels", shape[3]},
                           {"pixels", name_of(data.train.images.dtype())},
                           {"classes", data.train.classes},
                           {"augment", gather.augment},
                           {"batch_size", options.batch_size}};
  if (gather.augment) values.update({{"crop_padding", gather.padding}, {"flip", gather.flip}});
  if (gather.cutout > 0) values["cutout"] = gather.cutout;
  if (options.shards > 1) values["shards"] = options.shards;
  if (options.shards > 1 && options.batch_norm == BatchNormStatistics::kSynchronized)
    values["batch_norm"] = "synchronized";
  if (options.loss.label_smoothing > 0) values["label_smoothing"] = options.loss.label_smoothing;
  for (const auto& [name, value] : named_values(options.optimizer)) values[name] = value;
  return values.dump();
}

/// "expected seed 1, flip true, got seed 2, flip false": what differs between two JSON objects; of other texts the
/// whole.
std::string describe_difference(const std::string& expected, const std::string& got) {
  const nlohmann::json before = nlohmann::json::parse(expected, nullptr, false);
  const nlohmann::json now = nlohmann::json::parse(got, nullptr, false);
  if (!before.is_object() || !now.is_object()) return fmt::format("expected '{}', got '{}'", expected, got);
  nlohmann::json names = before;
  names.update(now);
  std::vector<std::string> ours, theirs;
  const auto text = [](const nlohmann::json& values, const std::string& name) {
    const auto found = values.find(name);
    if (found == values.end()) return "no " + name;
    return name + " " + (found->is_string() ? found->get<std::string>() : found->dump());
  };
  for (const auto& [name, value] : names.items()) {
    const std::string one = text(before, name), other = text(now, name);
    if (one == other) continue;
    ours.push_back(one);
    theirs.push_back(other);
  }
  return fmt::format("expected {}, got {}", fmt::join(ours, ", "), fmt::join(theirs, ", "));
}

TrainerOptions resolved(TrainerOptions options, const TrainingData& data) {
  check(options.evaluation_batch >= 1, "expected 1 or more images evaluated at once, got {}", options.evaluation_batch);
  const std::int64_t batch = std::max<std::int64_t>(options.batch_size, 1);
  options.optimizer.steps_per_epoch = (data.train.count + batch - 1) / batch;
  if (options.settings.empty()) options.settings = describe(options, data);
  if (options.check_device) options.check_device(data.train.images.backend());
  return options;
}

/// The data. Error unless all is on one device and the images are large enough.
TrainingData checked(TrainingData data, Module& network, const StepState& state) {
  const Backend* backend = &state.counters.backend();
  bool same = &data.train.images.backend() == backend && &data.test.images.backend() == backend &&
              (!data.validation || &data.validation->images.backend() == backend);
  for (const NamedParameter& parameter : network.named_parameters())
    same = same && &parameter.variable.value().backend() == backend;
  check(same,
        "expected the network, its StepState and the data on one device, got several: make all of them with the "
        "same Backend");
  check_image_size(network, data.train);
  return data;
}

/// Connects this process with the other ranks. Null if it is alone.
std::unique_ptr<TensorExchange> connected(const TrainingData& data, const TrainerOptions& options) {
  if (options.ranks == nullptr || options.ranks->size() == 1) return nullptr;
  check_ranks(options.ranks->size(), options.shards);
  return data.train.images.backend().connect(*options.ranks);
}

}  // namespace

NotFinite::NotFinite(int epoch, std::int64_t step)
    : Error(fmt::format("the loss or a gradient is not finite in epoch {}, step {} of the run; try a smaller learning "
                        "rate",
                        epoch, step)),
      epoch_(epoch),
      step_(step) {}

NotFinite::NotFinite(int epoch, const std::string& what)
    : Error(fmt::format("{} is not finite in epoch {}; try a smaller learning rate", what, epoch)),
      epoch_(epoch),
      step_(0) {}

Trainer::Trainer(Module& network, const StepState& state, TrainingData data, TrainerOptions options,
                 TrainerCallbacks callbacks)
    : network_(network),
      state_(state),
      data_(checked(std::move(data), network, state)),
      options_(resolved(std::move(options), data_)),
      callbacks_(std::move(callbacks)),
      optimizer_(network, state, options_.optimizer),
      exchange_(connected(data_, options_)),
      steps_(data_.train, data_.train_gather, options_.batch_size, state, network, optimizer_, options_.loss,
             options_.shards, exchange_.get(), options_.batch_norm),
      evaluator_(network, data_.test, data_.test_gather, options_.evaluation_batch, exchange_.get()) {
  if (data_.validation)
    validator_.emplace(network, *data_.validation, data_.test_gather, options_.evaluation_batch, exchange_.get());
}

std::int64_t Trainer::steps_per_epoch() const {
  return (data_.train.count + options_.batch_size - 1) / options_.batch_size;
}

bool Trainer::run(int last_epoch) {
  check(last_epoch >= 0, "expected the epoch to train to, or 0 for the last, got {}", last_epoch);
  check(!is_ending_epoch_ || is_broken_,
        "a callback ended epoch {} with an exception before on_epoch; continue from a checkpoint by load()",
        position_.epoch);
  try {
    return train_to(last_epoch);
  } catch (const NotFinite&) {  // on all ranks, after the same step
    throw;
  } catch (...) {
    if (exchange_) exchange_->abort();
    throw;
  }
}

bool Trainer::train_to(int last_epoch) {
  share_state();
  const int last = last_epoch > 0 ? std::min(last_epoch, epochs()) : epochs();
  for (int epoch = position_.epoch_finished ? position_.epoch + 1 : position_.epoch; epoch <= last; ++epoch) {
    const Stopwatch watch;
    if (position_.epoch_finished) begin_epoch(epoch);
    if (!train_epoch(epoch)) return false;
    finish_epoch(epoch, watch.seconds());
  }
  return true;
}

/// Takes over rank 0's state.
void Trainer::share_state() {
  if (options_.ranks == nullptr || options_.ranks->size() == 1) return;
  broadcast_state(checkpoint_state(), position_, *options_.ranks);
  is_broken_ = is_ending_epoch_ = false;
}

bool Trainer::is_stopped() const {
  const bool stopped = options_.stop && options_.stop->load();
  return options_.ranks == nullptr || options_.ranks->size() == 1 ? stopped : any_rank(*options_.ranks, stopped);
}

void Trainer::begin_epoch(int epoch) {
  state_.begin_epoch(epoch);
  position_ = {epoch, false};
  report_selection(optimizer_.begin_epoch(epoch));
}

/// Trains the rest of the epoch; false if it was stopped. The host issues the steps and waits only at the end.
bool Trainer::train_epoch(int epoch) {
  const Stopwatch watch;
  steps_.begin_epoch(epoch);
  const std::int64_t first = state_.counter(kPosition), count = data_.train.count;
  const bool is_gpu = data_.train.images.backend().device().kind == DeviceKind::kCuda;
  const std::int64_t interval = is_gpu ? kStepsPerPoll : 1;
  std::int64_t done = first;
  for (std::int64_t step = 1; done < count; ++step) {
    if (is_stopped()) break;
    const std::int64_t images = std::min(options_.batch_size, count - done);
    steps_.run(images);
    done += images;
    if (step % interval == 0 || done == count) steps_.poll();
    drain_reports(epoch, first, watch.seconds(), false);
  }
  if (done < count) steps_.poll();
  drain_reports(epoch, first, watch.seconds(), true);
  return done == count;
}

/// Takes the reports that have arrived or, with `wait`, waits for all of them.
void Trainer::drain_reports(int epoch, std::int64_t first, double seconds, bool wait) {
  const Stopwatch watch;
  while (const std::optional<StepReport> report = steps_.next_report(wait)) {
    if (report->first_bad_step != 0) {
      is_broken_ = true;
      throw NotFinite(epoch, report->first_bad_step);
    }
    images_per_second_ = static_cast<double>(report->position - first) / (seconds + watch.seconds());
    last_progress_ = progress(epoch, *report);
    if (callbacks_.on_step) callbacks_.on_step(last_progress_);
  }
}

StepProgress Trainer::progress(int epoch, const StepReport& report) const {
  const double images = static_cast<double>(report.position);
  const double left = static_cast<double>(data_.train.count) * (epochs() - epoch + 1) - images;
  return {epoch,
          epochs(),
          report.position,
          data_.train.count,
          report.loss_sum / images,
          report.correct / images,
          images_per_second_,
          left / images_per_second_ + evaluation_seconds_ * (epochs() - epoch + 1),
          0,
          images_to_evaluate()};
}

std::int64_t Trainer::images_to_evaluate() const {
  return data_.test.count + (data_.validation ? data_.validation->count : 0);
}

void Trainer::report_selection(const std::optional<EpochRecord>& record) const {
  if (!record || !callbacks_.on_selection) return;
  const std::int64_t iterations = steps_per_epoch() * record->window_epochs();
  callbacks_.on_selection({record->epoch(), iterations > 0 ? noise_floor(iterations) : 0.0, record->read()});
}

void Trainer::report_measures(const std::optional<MeasureRecord>& record) const {
  if (!record || !callbacks_.on_measure) return;
  callbacks_.on_measure({record->first_epoch(), record->last_epoch(),
                         noise_floor(steps_per_epoch() * record->window_epochs()), record->read()});
}

void Trainer::finish_epoch(int epoch, double seconds) {
  const Stopwatch watch;
  is_ending_epoch_ = true;
  report_selection(optimizer_.end_epoch());
  const std::optional<MeasureRecord> measures = optimizer_.end_window();
  const Stopwatch evaluation_watch;
  const auto show = [&](std::int64_t evaluated) {
    last_progress_.evaluated = evaluated;
    const bool has_steps = last_progress_.epoch == epoch;  // since it was resumed
    if (callbacks_.on_evaluation && has_steps) callbacks_.on_evaluation(last_progress_);
  };
  const Evaluation test = evaluator_.run(show);
  report_measures(measures);  // after the evaluation, for which the host waits anyway
  const std::vector<double> metrics = state_.metrics.to_host<double>();
  const EpochPlan plan = optimizer_.plan(epoch);
  const double images = static_cast<double>(data_.train.count);
  EpochSummary summary;
  summary.epoch = epoch;
  summary.epochs = epochs();
  summary.learning_rate = plan.learning_rate;
  summary.train_loss = metrics[kLossSum] / images;
  summary.train_accuracy = metrics[kCorrect] / images;
  summary.test_loss = test.loss;
  summary.test_accuracy = test.accuracy;
  if (validator_) {
    const Evaluation validation = validator_->run([&](std::int64_t done) { show(data_.test.count + done); });
    summary.validation_loss = validation.loss;
    summary.validation_accuracy = validation.accuracy;
  }
  evaluation_seconds_ = evaluation_watch.seconds();
  summary.seconds = seconds + watch.seconds();
  summary.images_per_second = images_per_second_;
  summary.analyzed = plan.analyzed;
  summary.amplified = plan.amplified;
  check_finite(epoch, "the training loss", summary.train_loss);
  check_finite(epoch, "the loss on the test images", summary.test_loss);
  check_finite(epoch, "the loss on the validation images", summary.validation_loss.value_or(0));
  position_ = {epoch, true};
  is_ending_epoch_ = false;
  if (callbacks_.on_epoch) callbacks_.on_epoch(summary);
}

void Trainer::check_finite(int epoch, const char* what, double value) {
  if (std::isfinite(value)) return;
  is_broken_ = true;
  throw NotFinite(epoch, what);
}

std::optional<Evaluation> Trainer::evaluate_validation() {
  if (!validator_) return std::nullopt;
  return validator_->run();
}

void Trainer::save(const std::filesystem::path& path, FileSystem& file_system) {
  check(!is_broken_, "{}: the run ended with a number that is not finite, so there is nothing to save", path.string());
  check(!is_ending_epoch_, "{}: epoch {} is not over yet; save in on_epoch, or after run()", path.string(),
        position_.epoch);
  try {
    save_checkpoint(path, checkpoint_state(), position_.epoch_finished, options_.settings, file_system);
  } catch (const NotFiniteTensor& error) {
    is_broken_ = true;
    throw NotFinite(position_.epoch, error.element());
  }
}

void Trainer::load(const std::filesystem::path& path, FileSystem& file_system) {
  load(CheckpointFile(path, file_system));
}

void Trainer::load(const CheckpointFile& file) {
  check(file.settings() == options_.settings,
        "{} was saved with other settings: {}; give the Trainer the settings of the checkpoint, or begin a new run",
        file.path().string(), describe_difference(file.settings(), options_.settings));
  load_compared(file);
}

void Trainer::load_compared(const CheckpointFile& file) { restore(file, &CheckpointFile::restore); }

void Trainer::load_beginning(const CheckpointFile& file) { restore(file, &CheckpointFile::restore_beginning); }

void Trainer::restore(const CheckpointFile& file, RestoreFunction function) {
  const int window = optimizer_.window_first_epoch();
  try {
    (file.*function)(checkpoint_state());
  } catch (...) {
    // Undo what the failed load prepared.
    optimizer_.resume_epoch(position_.epoch, position_.epoch_finished, window);
    throw;
  }
  position_ = file.position();
  is_broken_ = false;
  is_ending_epoch_ = false;
}

}  // namespace gradamp
