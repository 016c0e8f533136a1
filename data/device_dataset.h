// SPDX-License-Identifier: MIT
// A dataset on the device, and the order of its images in an epoch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/core/operation_params.h"
#include "gradamp/core/tensor.h"
#include "gradamp/data/dataset.h"

namespace gradamp {

/// One split of a dataset on the device.
struct DeviceDataset {
  std::string description;  // "cifar10 train, 50000 images of 32x32x3, 10 classes"
  std::int64_t count = 0;
  int classes = 0;
  Tensor images;                         // u8 or f32 (count, height, width, channels)
  Tensor labels;                         // i32 (count)
  std::vector<std::string> class_names;  // (classes)
};

/// The normalization by the channel statistics of the training images, without augmentation. A constant channel becomes
/// 0: see upload_training_data.
GatherParams normalization(const Dataset& train);

/// Copies a dataset to the device. Error if check_dataset rejects it, for example because a label is out of range.
DeviceDataset upload(Backend& backend, const Dataset& dataset);

/// Random crops and flips of the training images (K. He et al., "Deep residual learning", 2016, section 4.2), and
/// cutout.
struct Augmentation {
  bool enabled = true;  // crop and flip; cutout does not need it
  int padding = 4;      // zero pixels added on each side; the random crop then has the size of the original image
  bool flip = true;     // horizontally, half of the images
  int cutout = 0;       // side in pixels of the square that becomes the mean (core/cutout.h); 0: none
};

/// The data that a run uses for training, testing and validation.
struct TrainingData {
  DeviceDataset train, test;
  std::optional<DeviceDataset> validation;  // held out from the training images
  GatherParams train_gather;                // augmented
  GatherParams test_gather;
};

/// Copies the datasets to the device. All images are normalized by the channel statistics of the training images. A
/// constant channel becomes 0: for u8, the divisor is a standard deviation of at least 1e-3; for f32, it is 1 if the
/// standard deviation is at most 1e-6 of the mean's magnitude. Error if check_dataset rejects a dataset, or if
/// check_splits_agree rejects two.
TrainingData upload_training_data(Backend& backend, const Dataset& train, const Dataset& test,
                                  const Augmentation& augmentation = {},
                                  const std::optional<Dataset>& validation = std::nullopt);

/// Writes the order of the images in `epoch` to `order` (i32): a Fisher-Yates shuffle with the Philox stream kOrder, or
/// 0, 1, 2, ... for epoch 0.
void write_order(const Tensor& order, std::uint64_t seed, int epoch);
/// Returns the order in a new tensor of `count` elements.
Tensor make_order(Backend& backend, std::int64_t count, std::uint64_t seed, int epoch);

}  // namespace gradamp
