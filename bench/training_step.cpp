// SPDX-License-Identifier: MIT
// Times whole training steps (gather and augment, forward, loss, backward, statistics, SGD) in the same way as `gradamp
// train` runs them, and prints one line of JSON. bench/compare_pytorch.py runs it and compares. With --save FILE it
// writes the initial weights and the first batch, so that the other side can verify that it computes the same before
// either is timed. With --compare, plain and analyzed steps are timed in turn, block by block.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "gradamp/core/operations.h"
#include "gradamp/core/philox.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/data/files/safetensors.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/layers/state_dict.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/choices.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/optim/training/training_steps.h"

namespace gradamp {
namespace {

struct Options {
  std::string network = "resnet20", device = "cpu", precision = "f32", granularity = "weight";
  std::string convolution = "auto";
  std::int64_t batch_size = 128, epoch_steps = 8;
  int steps = 10, block = 1, warmup = 2, threads = 0;
  bool analyze = false, compare = false;
  std::string save;
};

/// This process's peak resident set, in MiB; getrusage would include its parent's before the exec.
double peak_memory_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

/// Random bytes and labels for an epoch of `count` images; the bytes repeat after about a million.
TrainingData make_data(Backend& backend, std::int64_t count) {
  constexpr std::size_t kPeriod = 1'048'573;  // a prime, so that no two images are equal
  PhiloxSequence random(1, RandomStream::kTest, 0);
  std::vector<std::uint8_t> images(static_cast<std::size_t>(count * 32 * 32 * 3));
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = i < kPeriod ? static_cast<std::uint8_t>(random.below(256)) : images[i - kPeriod];
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(10));
  TrainingData data;
  data.train.count = count;
  data.train.classes = 10;
  data.train.images = Tensor::from_host(backend, {count, 32, 32, 3}, images);
  data.train.labels = Tensor::from_host(backend, {count}, labels);
  data.train_gather.augment = true;
  data.train_gather.mean = {0.5f, 0.5f, 0.5f};
  data.train_gather.inverse_std = {3.5f, 3.5f, 3.5f};
  return data;
}

OptimizerOptions optimizer_options(const Options& options, bool analyze) {
  OptimizerOptions result;
  result.strategy.phases = {{1, 0.01, analyze, analyze ? 2.0 : 1.0}, {2, 0.01, false, 1.0}};
  result.selection.method = analyze ? SelectionMethod::kMeasure : SelectionMethod::kNone;
  result.sgd.granularity = options.granularity == "neuron" ? Granularity::kNeuron : Granularity::kWeight;
  return result;
}

/// A network in training, with the seconds of its steps.
class TimedRun {
 public:
  TimedRun(Backend& backend, const Options& options, const TrainingData& data, bool analyze)
      : backend_(backend), options_(options), data_(data), state_(make_step_state(backend, 1)) {
    network_ = make_network(options.network, backend);
    initialize(*network_, Initialization::kPyTorch, 1);
    optimizer_ = std::make_unique<Optimizer>(*network_, state_, optimizer_options(options, analyze));
    steps_ = std::make_unique<TrainingSteps>(data.train, data.train_gather, options.batch_size, state_, *network_,
                                             *optimizer_);
    optimizer_->begin_epoch(1);
    begin_images();
  }

  /// Writes the initial weights and the first step's batch.
  void save(const std::string& path) const {
    const Tensor order = make_order(backend_, data_.train.count, 1, 1);
    const Batch batch =
        gather_batch(data_.train.images, data_.train.labels, order, options_.batch_size, state_, data_.train_gather);
    std::vector<StateEntry> entries = state_dict(*network_);
    const Tensor images = cast(Variable(batch.images), DType::kF32).value();
    entries.push_back({"batch.images", images.shape(), images.to_host<float>()});
    std::vector<TensorView> views;
    for (const StateEntry& entry : entries)
      views.push_back({entry.name, DType::kF32, entry.shape, std::as_bytes(std::span(entry.values))});
    const std::vector<std::int32_t> labels = batch.labels.to_host<std::int32_t>();
    views.push_back({"batch.labels", DType::kI32, batch.labels.shape(), std::as_bytes(std::span(labels))});
    write_safetensors(path, std::move(views), {}, Keep::kNothing);
  }

  /// Seconds per step, over `steps` of them, with one wait at the end.
  double time_block(std::int64_t steps) {
    if (done_ + steps > options_.epoch_steps) begin_images();
    backend_.synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < steps; ++i) steps_->run(options_.batch_size);
    backend_.synchronize();
    done_ += steps;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return seconds / static_cast<double>(steps);
  }

  /// Mean loss since the last begin_images().
  double loss() const {
    return state_.metrics.to_host<double>()[kLossSum] / static_cast<double>(done_ * options_.batch_size);
  }

  /// Error if a loss or gradient was not finite: from then on nothing is updated, so the times have no meaning.
  void check_finite() const {
    const std::int64_t step = state_.counters.to_host<std::int64_t>()[kFirstBadStep];
    check(step == 0, "the loss or a gradient was not finite in step {}", step);
  }

 private:
  /// Restarts the epoch at its first image.
  void begin_images() {
    std::vector<std::int64_t> counters = state_.counters.to_host<std::int64_t>();
    counters[kEpoch] = 1;
    counters[kPosition] = 0;
    state_.counters.copy_from_host(std::span<const std::int64_t>(counters));
    state_.metrics.fill_zero();
    steps_->begin_epoch(1);
    done_ = 0;
  }

  Backend& backend_;
  Options options_;
  const TrainingData& data_;
  StepState state_;
  std::shared_ptr<Module> network_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<TrainingSteps> steps_;
  std::int64_t done_ = 0;  // steps since begin_images()
};

struct NamedRun {
  const char* name;  // key of its seconds in the result
  std::unique_ptr<TimedRun> run;
};

nlohmann::json run(const Options& options) {
  check(options.block >= 1 && options.block <= options.epoch_steps && options.warmup <= options.epoch_steps,
        "expected a block of 1 to {} steps, as many as an epoch has, and a warm-up of no more", options.epoch_steps);
  BackendOptions backend_options;
  backend_options.threads = options.threads;
  backend_options.precision = choice_of<Precision>(options.precision);
  backend_options.convolution = choice_of<ConvolutionMethod>(options.convolution);
  const std::unique_ptr<Backend> backend = make_backend(parse_device(options.device), backend_options);
  const TrainingData data = make_data(*backend, options.batch_size * options.epoch_steps);
  nlohmann::json result = {{"backend", backend->description()},
                           {"network", options.network},
                           {"precision", options.precision},
                           {"granularity", options.granularity},
                           {"convolutions", options.convolution == "auto" ? name_of(backend->convolution_method())
                                                                          : options.convolution.c_str()},
                           {"batch_size", options.batch_size}};
  std::vector<NamedRun> runs;
  const auto begin = [&](const char* name, bool analyze) {
    runs.push_back({name, std::make_unique<TimedRun>(*backend, options, data, analyze)});
    TimedRun& run = *runs.back().run;
    if (runs.size() == 1 && !options.save.empty()) run.save(options.save);
    result[name] = nlohmann::json::array();
    // At least one step, for its loss. The first step does all one-time work, the second is recorded.
    run.time_block(1);
    if (!result.contains("first_loss")) result["first_loss"] = run.loss();
    if (options.warmup > 1) run.time_block(options.warmup - 1);
  };
  const auto note_memory = [&] {
    result["peak_memory_mib"] = peak_memory_mib();
    result["device_memory_mib"] = static_cast<double>(backend->memory_use().held) / (1 << 20);
  };
  begin("seconds_per_step", options.analyze);
  note_memory();  // of one network: with --compare there is another one from here on
  if (options.compare) begin("analyzed_seconds_per_step", true);
  for (int i = 0; i < options.steps; i += options.block) {
    for (NamedRun& timed : runs) result[timed.name].push_back(timed.run->time_block(options.block));
  }
  for (const NamedRun& timed : runs) timed.run->check_finite();
  if (!options.compare) note_memory();
  return result;
}

}  // namespace
}  // namespace gradamp

int main(int argc, char** argv) {
  gradamp::Options options;
  CLI::App app("Times whole training steps on random images; one line of JSON");
  app.add_option("--network", options.network)->capture_default_str();
  app.add_option("--device", options.device, "cpu, cuda or emulated")->capture_default_str();
  app.add_option("--conv", options.convolution, gradamp::choice_names<gradamp::ConvolutionMethod>(", "))
      ->capture_default_str();
  app.add_option("--precision", options.precision, "f32, tf32 or bf16; the CPU has no tf32")->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "images")->capture_default_str();
  app.add_option("--steps", options.steps, "timed steps")->capture_default_str();
  app.add_option("--block", options.block, "steps that are timed together")->capture_default_str();
  app.add_option("--epoch-steps", options.epoch_steps, "steps before the same images come again")
      ->capture_default_str();
  app.add_option("--warmup", options.warmup, "steps before, at least one")->capture_default_str();
  app.add_option("--threads", options.threads, "0: all")->capture_default_str();
  app.add_flag("--analyze", options.analyze, "accumulate gradient statistics");
  app.add_flag("--compare", options.compare, "time analyzed steps too, in turn with plain ones");
  app.add_option("--granularity", options.granularity, "of the statistics: weight or neuron")
      ->check(CLI::IsMember({"weight", "neuron"}))
      ->capture_default_str();
  app.add_option("--save", options.save, "write weights and batch to this safetensors file");
  CLI11_PARSE(app, argc, argv);
  try {
    std::puts(gradamp::run(options).dump().c_str());
  } catch (const gradamp::Error& error) {
    std::fprintf(stderr, "training_step: %s\n", error.what());
    return 1;
  }
}
