// SPDX-License-Identifier: MIT
// What a training step of 128 images must move.
//   step_bytes            for budgets.py: "NETWORK TYPE KIND OPERATIONS BYTES" per line
//   step_bytes NETWORK    for bench/step_model.py: "OPERATION BYTES SHAPE..." for each operation of a plain step in
//   bf16.
//                         A shape is its extents with x between them, or - for a tensor that is undefined.
#include <cstdio>
#include <memory>
#include <string>

#include "gradamp/data/device_dataset.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/optim/training/training_steps.h"
#include "gradamp/tests/kernels/cuda/budgets/counting_backend.h"

namespace {

using namespace gradamp;

constexpr std::int64_t kImages = 128;

OptimizerOptions options(bool analyzed) {
  OptimizerOptions result;
  result.strategy.phases = {{1, 0.01, analyzed, analyzed ? 2.0 : 1.0}, {2, 0.01, false, 1.0}};
  result.selection.method = analyzed ? SelectionMethod::kMeasure : SelectionMethod::kNone;
  return result;
}

/// Runs a step that does what most do.
void run_step(CountingBackend& backend, const char* network_name, bool analyzed) {
  TrainingData data;
  data.train.count = kImages;
  data.train.classes = 10;
  data.train.images = Tensor::empty(backend, {kImages, 32, 32, 3}, DType::kU8);
  data.train.labels = Tensor::empty(backend, {kImages}, DType::kI32);
  const StepState state = make_step_state(backend, 1);
  const std::shared_ptr<Module> network = make_network(network_name, backend);
  Optimizer optimizer(*network, state, options(analyzed));
  TrainingSteps steps(data.train, data.train_gather, kImages, state, *network, optimizer);
  optimizer.begin_epoch(1);
  steps.begin_epoch(1);
  steps.run(kImages);  // the first step can do more than the others
  backend.clear();
  steps.run(kImages);
}

void print_step(const char* network, DType activations, bool analyzed) {
  CountingBackend backend(activations);
  run_step(backend, network, analyzed);
  std::printf("%s %s %s %zu %zu\n", network, name_of(activations), analyzed ? "analyzed" : "plain",
              backend.operations().size(), backend.bytes());
}

void print_operations(const char* network) {
  CountingBackend backend(DType::kBF16);
  run_step(backend, network, false);
  for (const CountingBackend::Operation& operation : backend.operations()) {
    std::printf("%s %zu", operation.name.c_str(), operation.bytes);
    for (const std::optional<Shape>& shape : operation.shapes) {
      std::printf(" %s", shape ? "" : "-");
      for (int i = 0; shape && i < shape->rank(); ++i)
        std::printf("%s%lld", i == 0 ? "" : "x", static_cast<long long>((*shape)[i]));
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count > 1) {
    print_operations(arguments[1]);
    return 0;
  }
  for (const char* network : {"resnet20", "resnet18", "resnet50", "vgg19"}) {
    for (const DType activations : {DType::kF32, DType::kBF16}) {
      print_step(network, activations, false);
      print_step(network, activations, true);
    }
  }
}
