// SPDX-License-Identifier: MIT
// One split of an image dataset in host memory, and what every dataset needs: parts of it and its channels' statistics.
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

// The images of CIFAR and of the drawn dataset, and of a Dataset for which nothing else is said.
constexpr std::int64_t kImageSide = 32;                                         // pixels
constexpr std::int64_t kImageChannels = 3;                                      // red, green, blue
constexpr std::int64_t kImageBytes = kImageSide * kImageSide * kImageChannels;  // 3072

/// One split of a dataset: images of one shape, interleaved (HWC) whatever the file they came from, as bytes or as f32.
///
/// Training and evaluation see normalized values: (v - mean) / std, with the mean and the standard deviation of the
/// training images' channel. Of a byte, v is byte / 255. Of an f32 pixel, v is the value itself, in any unit and range;
/// 0 is black, which a random crop puts around the image.
struct Dataset {
  std::string name;                      // "cifar10", say
  std::string split;                     // "train", "test" or "validation"
  std::int64_t count = 0;                // images
  int classes = 0;                       // labels are in [0, classes)
  std::vector<std::uint8_t> images;      // (count, height, width, channels); empty if the images are f32
  std::vector<std::int32_t> labels;      // (count)
  std::vector<std::string> class_names;  // (classes)
  std::int64_t height = kImageSide;      // pixels, 1 to kMaxImageExtent; likewise the width
  std::int64_t width = kImageSide;
  std::int64_t channels = kImageChannels;  // 1 to kMaxImageChannels
  std::vector<float> f32_images{};         // (count, height, width, channels), finite; empty if the images are bytes

  /// (count, height, width, channels).
  Shape shape() const { return {count, height, width, channels}; }
  /// u8 or f32.
  DType pixel_type() const { return f32_images.empty() ? DType::kU8 : DType::kF32; }
};

/// Error if the sizes of a dataset's parts disagree, a height, width or number of channels is out of range, a label is
/// out of range, or an f32 pixel is not finite.
void check_dataset(const Dataset& dataset);

/// Error unless the images of `other` are like those of `train`, which it is to be used with: of the same height,
/// width, channels and type, in the same number of classes.
void check_splits_agree(const Dataset& train, const Dataset& other);

/// Mean and standard deviation (of the population) per channel; of bytes, pixels are byte / 255, of f32, the values.
/// Channels that the images do not have are 0.
struct ChannelStatistics {
  std::array<double, kMaxImageChannels> mean{};
  std::array<double, kMaxImageChannels> deviation{};
};

/// Statistics over all pixels of a dataset that check_dataset accepts, in float64: of bytes from sums of integers, of
/// f32 in two passes. Error if it has no images.
ChannelStatistics channel_statistics(const Dataset& dataset);

/// The first `count` images. Throws Error unless 1 <= count <= dataset.count.
Dataset first_images(const Dataset& dataset, std::int64_t count);

/// The dataset without its last `count` images, and those, with the split "validation".
/// Throws Error unless 1 <= count < dataset.count.
std::pair<Dataset, Dataset> split_off_last(const Dataset& dataset, std::int64_t count);

}  // namespace gradamp
