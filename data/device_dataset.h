// SPDX-License-Identifier: MIT
// A dataset on the device, and the order in which an epoch sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gradamp/core/operation_params.h"
#include "gradamp/core/tensor.h"
#include "gradamp/data/dataset.h"

namespace gradamp {

/// One split on the device.
struct DeviceDataset {
  std::string description;  // "cifar10 train, 50000 images of 32x32x3, 10 classes"
  std::int64_t count = 0;
  int classes = 0;
  Tensor images;  // u8 or f32 (count, height, width, channels)
  Tensor labels;  // i32 (count)
};

/// Copies a dataset to the device. Error if check_dataset refuses it, for example for a label out of range.
DeviceDataset upload(Backend& backend, const Dataset& dataset);

/// Random crops and flips of the training images (K. He et al., "Deep residual learning", 2016, section 4.2).
struct Augmentation {
  bool enabled = true;
  int padding = 4;   // zero pixels added on each side, before a random crop of the image's own size
  bool flip = true;  // horizontally, half of the images
};

/// What a run trains and is tested on.
struct TrainingData {
  DeviceDataset train, test;
  std::optional<DeviceDataset> validation;  // held out from the training images
  GatherParams train_gather;                // augmented
  GatherParams test_gather;
};

/// Copies the datasets to the device. Their images are normalized by the training images' channel statistics. A channel
/// of one value becomes 0: its standard deviation is taken as at least 1e-3 (u8), or as 1 if it is at most 1e-6 of the
/// mean's size (f32). Error if check_dataset refuses one, or check_splits_agree two.
TrainingData upload_training_data(Backend& backend, const Dataset& train, const Dataset& test,
                                  const Augmentation& augmentation = {},
                                  const std::optional<Dataset>& validation = std::nullopt);

/// The order of the images in `epoch` (Fisher and Yates, Philox stream kOrder), or 0, 1, ... for epoch 0, into `order`,
/// i32.
void write_order(const Tensor& order, std::uint64_t seed, int epoch);
/// The same in a new tensor of `count` elements.
Tensor make_order(Backend& backend, std::int64_t count, std::uint64_t seed, int epoch);

}  // namespace gradamp
