// SPDX-License-Identifier: MIT
#include "gradamp/data/dataset.h"

#include <cmath>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

/// Images [begin, end) of a dataset.
Dataset slice(const Dataset& dataset, std::int64_t begin, std::int64_t end) {
  Dataset part;
  part.name = dataset.name;
  part.split = dataset.split;
  part.count = end - begin;
  part.classes = dataset.classes;
  part.class_names = dataset.class_names;
  part.images.assign(dataset.images.begin() + begin * kImageBytes, dataset.images.begin() + end * kImageBytes);
  part.labels.assign(dataset.labels.begin() + begin, dataset.labels.begin() + end);
  return part;
}

}  // namespace

void check_dataset(const Dataset& dataset) {
  const auto images = static_cast<std::int64_t>(dataset.images.size());
  const auto labels = static_cast<std::int64_t>(dataset.labels.size());
  const auto names = static_cast<std::int64_t>(dataset.class_names.size());
  check(images == dataset.count * kImageBytes, "dataset {} ({}): expected {} bytes of images for {} images, got {}",
        dataset.name, dataset.split, dataset.count * kImageBytes, dataset.count, images);
  check(labels == dataset.count, "dataset {} ({}): expected {} labels, got {}", dataset.name, dataset.split,
        dataset.count, labels);
  check(names == dataset.classes, "dataset {} ({}): expected {} class names, got {}", dataset.name, dataset.split,
        dataset.classes, names);
  for (std::int64_t i = 0; i < dataset.count; ++i) {
    const std::int32_t label = dataset.labels[static_cast<std::size_t>(i)];
    check(label >= 0 && label < dataset.classes, "dataset {} ({}): image {} has the label {}, expected 0 to {}",
          dataset.name, dataset.split, i, label, dataset.classes - 1);
  }
}

ChannelStatistics channel_statistics(const Dataset& dataset) {
  check(dataset.count > 0, "dataset {} ({}): expected at least one image to take statistics of, got none", dataset.name,
        dataset.split);
  // Sums of bytes and their squares are exact in 64 bits up to 2^48 pixels.
  std::array<std::uint64_t, 3> sum{}, squares{};
  for (std::size_t i = 0; i + 2 < dataset.images.size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::uint64_t value = dataset.images[i + c];
      sum[c] += value;
      squares[c] += value * value;
    }
  }
  const double pixels = static_cast<double>(dataset.count * kImageSide * kImageSide);
  ChannelStatistics statistics;
  for (std::size_t c = 0; c < 3; ++c) {
    const double mean = static_cast<double>(sum[c]) / pixels;
    const double variance = static_cast<double>(squares[c]) / pixels - mean * mean;
    statistics.mean[c] = mean / 255.0;
    statistics.deviation[c] = std::sqrt(variance > 0.0 ? variance : 0.0) / 255.0;
  }
  return statistics;
}

Dataset first_images(const Dataset& dataset, std::int64_t count) {
  check(count >= 1 && count <= dataset.count, "dataset {} ({}): expected 1 to {} images to be taken, got {}",
        dataset.name, dataset.split, dataset.count, count);
  return slice(dataset, 0, count);
}

std::pair<Dataset, Dataset> split_off_last(const Dataset& dataset, std::int64_t count) {
  check(count >= 1 && count < dataset.count, "dataset {} ({}): expected 1 to {} images to be held out, got {}",
        dataset.name, dataset.split, dataset.count - 1, count);
  std::pair<Dataset, Dataset> parts{slice(dataset, 0, dataset.count - count),
                                    slice(dataset, dataset.count - count, dataset.count)};
  parts.second.split = "validation";
  return parts;
}

}  // namespace gradamp
