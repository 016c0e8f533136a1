// SPDX-License-Identifier: MIT
// The images of a run, on the device as bytes, and the order in which an epoch sees them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/operations.h"
#include "data/dataset.h"
#include "layers/module.h"
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
  DeviceDataset train, test;
  std::optional<DeviceDataset> validation;  // held out from the end of the training images
  GatherParams train_gather;                // augmented as the settings say
  GatherParams test_gather;
};

/// Reads, checks and uploads what `settings` ask for. Images are normalised by the training images' channel statistics.
TrainingData load_training_data(Backend& backend, const RunSettings& settings);

/// Error where load_training_data would fail.
void check_training_data(const RunSettings& settings);

/// A fresh state of a run: counters with the seed, zeros elsewhere.
StepState make_step_state(Backend& backend, std::uint64_t seed);

/// The order of the training images in `epoch` (Fisher and Yates, Philox stream kOrder), or 0, 1, ... for epoch 0, into
/// `order`, i32.
void write_order(const Tensor& order, std::uint64_t seed, int epoch);
Tensor make_order(Backend& backend, std::int64_t count, std::uint64_t seed, int epoch);

/// Mean loss and accuracy of weights on a dataset.
struct Evaluation {
  double loss = 0, accuracy = 0;
  std::int64_t images = 0;
};

/// Evaluates a network on all of a dataset, again and again: what it asks of the device is recorded once.
class Evaluator {
 public:
  /// `network` and `data` must outlive it.
  Evaluator(Module& network, const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size);
  Evaluation run();
  /// What the network gives for every image, before the softmax: (images, classes), row by row.
  std::vector<float> outputs();

 private:
  void evaluate_batch(std::int64_t count) const;

  Module& network_;
  const DeviceDataset& data_;
  GatherParams gather_;
  std::int64_t batch_size_;
  StepState state_;
  Tensor order_;
  std::map<std::int64_t, std::unique_ptr<Recording>> batches_;  // by their size: the last may be smaller
};

}  // namespace gradamp
