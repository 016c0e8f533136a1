// SPDX-License-Identifier: MIT
// Times whole training steps (gather and augment, forward, loss, backward, statistics, SGD) and prints one line of
// JSON. bench/compare_pytorch.py runs it beside PyTorch. With --save FILE it writes the initial weights and the first
// batch, so that the other side can verify that it computes the same before either is timed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/operations.h"
#include "core/philox.h"
#include "data/safetensors.h"
#include "kernels/backends.h"
#include "layers/initialization.h"
#include "layers/state_dict.h"
#include "nets/networks.h"
#include "optim/optimizer.h"
#include "tools/training_data.h"

namespace gradamp {
namespace {

struct Options {
  std::string network = "resnet20";
  std::int64_t batch_size = 128;
  int steps = 10;
  int warmup = 2;
  int threads = 0;
  bool analyze = false;
  std::string save;
};

/// This process's largest resident set so far, in MiB; getrusage would count what its parent held before it.
double peak_memory_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

/// One batch's worth of random bytes and labels.
struct Bytes {
  Tensor images, labels, order;
};

Bytes make_bytes(Backend& backend, std::int64_t count) {
  PhiloxSequence random(1, RandomStream::kTest, 0);
  std::vector<std::uint8_t> images(static_cast<std::size_t>(count * 32 * 32 * 3));
  for (std::uint8_t& value : images) value = static_cast<std::uint8_t>(random.below(256));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(10));
  return {Tensor::from_host(backend, {count, 32, 32, 3}, images), Tensor::from_host(backend, {count}, labels),
          make_order(backend, count, 1, 1)};
}

GatherParams gather_params() {
  GatherParams params;
  params.augment = true;
  params.mean = {0.5f, 0.5f, 0.5f};
  params.inverse_std = {3.5f, 3.5f, 3.5f};
  return params;
}

void save(const std::string& path, Module& network, const Batch& batch) {
  std::vector<StateEntry> entries = state_dict(network);
  entries.push_back({"batch.images", batch.images.shape(), batch.images.to_host<float>()});
  std::vector<TensorView> views;
  for (const StateEntry& entry : entries)
    views.push_back({entry.name, DType::kF32, entry.shape, std::as_bytes(std::span(entry.values))});
  const std::vector<std::int32_t> labels = batch.labels.to_host<std::int32_t>();
  views.push_back({"batch.labels", DType::kI32, batch.labels.shape(), std::as_bytes(std::span(labels))});
  write_safetensors(path, std::move(views), {}, Keep::kNothing);
}

OptimizerOptions optimizer_options(bool analyze) {
  OptimizerOptions options;
  options.strategy.phases = {{1, 0.01, analyze, analyze ? 2.0 : 1.0}, {2, 0.01, false, 1.0}};
  options.selection.method = analyze ? SelectionMethod::kMeasure : SelectionMethod::kNone;
  return options;
}

nlohmann::json run(const Options& options) {
  const std::unique_ptr<Backend> backend = make_backend({}, {options.threads});
  const StepState state = make_step_state(*backend, 1);
  const std::shared_ptr<Module> network = make_network(options.network, *backend);
  initialize(*network, Initialization::kPyTorch, 1);
  const Bytes bytes = make_bytes(*backend, options.batch_size);
  if (!options.save.empty()) {
    save(options.save, *network,
         gather_batch(bytes.images, bytes.labels, bytes.order, options.batch_size, state, gather_params()));
  }
  Optimizer optimizer(*network, state, optimizer_options(options.analyze));
  optimizer.begin_epoch(1);
  std::vector<double> seconds;
  double first_loss = 0;
  for (int i = 0; i < options.warmup + options.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Batch batch =
        gather_batch(bytes.images, bytes.labels, bytes.order, options.batch_size, state, gather_params());
    optimizer.begin_step();
    const Variable loss =
        softmax_cross_entropy(network->forward(Variable(batch.images), Mode::kTraining), batch.labels, state);
    loss.backward();
    optimizer.step();
    backend->synchronize();
    if (i == 0) first_loss = static_cast<double>(loss.value().to_host<float>()[0]);
    if (i >= options.warmup)
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return {{"backend", backend->description()},
          {"network", options.network},
          {"first_loss", first_loss},
          {"seconds_per_step", seconds},
          {"peak_memory_mib", peak_memory_mib()}};
}

}  // namespace
}  // namespace gradamp

int main(int argc, char** argv) {
  gradamp::Options options;
  CLI::App app("Times whole training steps on random images; one line of JSON");
  app.add_option("--network", options.network)->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "images")->capture_default_str();
  app.add_option("--steps", options.steps, "timed steps")->capture_default_str();
  app.add_option("--warmup", options.warmup, "steps before")->capture_default_str();
  app.add_option("--threads", options.threads, "0: all")->capture_default_str();
  app.add_flag("--analyze", options.analyze, "accumulate gradient statistics");
  app.add_option("--save", options.save, "write weights and batch to this safetensors file");
  CLI11_PARSE(app, argc, argv);
  try {
    std::puts(gradamp::run(options).dump().c_str());
  } catch (const gradamp::Error& error) {
    std::fprintf(stderr, "training_step: %s\n", error.what());
    return 1;
  }
}
