// SPDX-License-Identifier: MIT
// One split of an image dataset in host memory, and functions for every dataset: checks, parts and channel statistics.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/core/dtype.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/core/shape.h"

namespace gradamp {

// The image shape of CIFAR and of the synthetic dataset. It is also the default shape of a Dataset.
constexpr std::int64_t kImageSide = 32;                                         // pixels
constexpr std::int64_t kImageChannels = 3;                                      // red, green, blue
constexpr std::int64_t kImageBytes = kImageSide * kImageSide * kImageChannels;  // 3072

/// One split of a dataset. All images have the same shape. Pixels are interleaved (HWC), whatever the layout of the
/// file, and are bytes or f32.
///
/// Training and evaluation use normalized values: (v - mean) / std, with the mean and the standard deviation of the
/// channel over the training images. For a byte, v is byte / 255. For an f32 pixel, v is the value itself, in any unit
/// and range. The value 0 is black, and a random crop pads the image with it.
struct Dataset {
  std::string name;                      // for example "cifar10"
  std::string split;                     // "train", "test" or "validation"
  std::int64_t count = 0;                // images
  int classes = 0;                       // labels are in [0, classes)
  std::vector<std::uint8_t> images;      // (count, height, width, channels); empty if the images are f32
  std::vector<std::int32_t> labels;      // (count)
  std::vector<std::string> class_names;  // (classes)
  std::int64_t height = kImageSide;      // in pixels, 1 to kMaxImageExtent; the width too
  std::int64_t width = kImageSide;
  std::int64_t channels = kImageChannels;  // 1 to kMaxImageChannels
  std::vector<float> f32_images{};         // (count, height, width, channels), finite; empty if the images are bytes

  /// (count, height, width, channels).
  Shape shape() const { return {count, height, width, channels}; }
  /// u8 or f32.
  DType pixel_type() const { return f32_images.empty() ? DType::kU8 : DType::kF32; }
};

/// Error if the sizes of a dataset's vectors disagree, if the height, the width, the number of channels or a label is
/// out of range, or if an f32 pixel is not finite.
void check_dataset(const Dataset& dataset);

/// Error unless `other` can be used together with `train`: both must have the same height, width, channels, pixel type
/// and number of classes.
void check_splits_agree(const Dataset& train, const Dataset& other);

/// Mean and standard deviation (of the population) per channel. A byte counts as byte / 255, an f32 pixel as its value.
/// The entries of channels that the images do not have are 0.
struct ChannelStatistics {
  std::array<double, kMaxImageChannels> mean{};
  std::array<double, kMaxImageChannels> deviation{};
};

/// Statistics over all pixels of a dataset that check_dataset accepts, in float64. Bytes are summed as integers; f32
/// values are summed in two passes. Error if the dataset has no images.
ChannelStatistics channel_statistics(const Dataset& dataset);

/// What the images and labels are, wherever they were read from: "train 1f0c4a9e 5b7d2c31", the CRC-32C of the pixels
/// and of the labels.
std::string fingerprint(const Dataset& dataset);

/// The first `count` images. Throws Error unless 1 <= count <= dataset.count.
Dataset first_images(const Dataset& dataset, std::int64_t count);

/// The dataset without its last `count` images, and a dataset of those images, whose split is "validation".
/// Throws Error unless 1 <= count < dataset.count.
std::pair<Dataset, Dataset> split_off_last(const Dataset& dataset, std::int64_t count);

}  // namespace gradamp
