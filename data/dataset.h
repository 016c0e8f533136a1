// SPDX-License-Identifier: MIT
// One split of an image dataset in host memory, and what every dataset needs: parts of it and its channels' statistics.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gradamp {

constexpr std::int64_t kImageSide = 32;                                         // pixels
constexpr std::int64_t kImageChannels = 3;                                      // red, green, blue
constexpr std::int64_t kImageBytes = kImageSide * kImageSide * kImageChannels;  // 3072

/// One split of a dataset. Images are interleaved (HWC), whatever the file they came from.
struct Dataset {
  std::string name;                      // "made", "cifar10", "cifar100", "cifar100-coarse"
  std::string split;                     // "train", "test" or "validation"
  std::int64_t count = 0;                // images
  int classes = 0;                       // labels are in [0, classes)
  std::vector<std::uint8_t> images;      // (count, 32, 32, 3)
  std::vector<std::int32_t> labels;      // (count)
  std::vector<std::string> class_names;  // (classes)
};

/// Throws Error where the sizes of a dataset's parts disagree or a label is out of range.
void check_dataset(const Dataset& dataset);

/// Mean and standard deviation (of the population) per channel, pixels taken as value / 255.
struct ChannelStatistics {
  std::array<double, 3> mean{};
  std::array<double, 3> deviation{};
};

/// Statistics over all pixels of a dataset, summed in integers and divided in float64. Throws Error where it is empty.
ChannelStatistics channel_statistics(const Dataset& dataset);

/// The first `count` images. Throws Error unless 1 <= count <= dataset.count.
Dataset first_images(const Dataset& dataset, std::int64_t count);

/// The dataset without its last `count` images, and those, with the split "validation".
/// Throws Error unless 1 <= count < dataset.count.
std::pair<Dataset, Dataset> split_off_last(const Dataset& dataset, std::int64_t count);

}  // namespace gradamp
