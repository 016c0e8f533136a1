// SPDX-License-Identifier: MIT
// The images of a run, on the device as bytes, and the order in which an epoch sees them.
#pragma once

#include <string>

#include "core/operations.h"
#include "data/dataset.h"
#include "tools/settings.h"

namespace gradamp {

/// One split on the device.
struct DeviceDataset {
  std::string description;  // "cifar10 train, 50000 images, 10 classes"
  std::int64_t count = 0;
  int classes = 0;
  Tensor images;  // u8 (count, 32, 32, 3)
  Tensor labels;  // i32 (count)
};

struct TrainingData {
  DeviceDataset train, test;  // `test` is the validation part where there is one
  GatherParams train_gather;  // augmented as the settings say
  GatherParams test_gather;
};

/// Reads, checks and uploads what `settings` ask for. Images are normalised by the training images' channel statistics.
TrainingData load_training_data(Backend& backend, const RunSettings& settings);

/// A fresh state of a run: counters with the seed, zeros elsewhere.
StepState make_step_state(Backend& backend, std::uint64_t seed);

/// The order of the training images in `epoch` (Fisher and Yates, Philox stream kOrder), or 0, 1, ... for epoch 0.
Tensor make_order(Backend& backend, std::int64_t count, std::uint64_t seed, int epoch);

/// Mean loss and accuracy over all of `data`.
struct Evaluation;
Evaluation evaluate_network(Module& network, const DeviceDataset& data, const GatherParams& gather,
                            std::int64_t batch_size);

}  // namespace gradamp
