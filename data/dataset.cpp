// SPDX-License-Identifier: MIT
#include "gradamp/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "gradamp/core/error.h"
#include "gradamp/data/files/crc32c.h"

namespace gradamp {
namespace {

/// Number of elements per image.
std::int64_t image_elements(const Dataset& dataset) { return dataset.height * dataset.width * dataset.channels; }

/// "cifar10 (train)", for messages.
std::string name_of_split(const Dataset& dataset) { return fmt::format("{} ({})", dataset.name, dataset.split); }

/// "28x28x1".
std::string image_text(const Dataset& dataset) {
  return fmt::format("{}x{}x{}", dataset.height, dataset.width, dataset.channels);
}

/// Images [begin, end) of a dataset.
Dataset slice(const Dataset& dataset, std::int64_t begin, std::int64_t end) {
  Dataset part;
  part.name = dataset.name;
  part.split = dataset.split;
  part.count = end - begin;
  part.classes = dataset.classes;
  part.class_names = dataset.class_names;
  part.height = dataset.height;
  part.width = dataset.width;
  part.channels = dataset.channels;
  const std::int64_t first = begin * image_elements(dataset), last = end * image_elements(dataset);
  if (dataset.pixel_type() == DType::kF32) {
    part.f32_images.assign(dataset.f32_images.begin() + first, dataset.f32_images.begin() + last);
  } else {
    part.images.assign(dataset.images.begin() + first, dataset.images.begin() + last);
  }
  part.labels.assign(dataset.labels.begin() + begin, dataset.labels.begin() + end);
  return part;
}

void check_image_shape(const Dataset& dataset) {
  for (const auto& [what, extent] : {std::pair("height", dataset.height), std::pair("width", dataset.width)})
    check(extent >= 1 && extent <= kMaxImageExtent, "dataset {}: expected images with a {} of 1 to {} pixels, got {}",
          name_of_split(dataset), what, kMaxImageExtent, extent);
  check(dataset.channels >= 1 && dataset.channels <= kMaxImageChannels,
        "dataset {}: expected images of 1 to {} channels, got {}", name_of_split(dataset), kMaxImageChannels,
        dataset.channels);
}

void check_image_sizes(const Dataset& dataset) {
  check(dataset.images.empty() || dataset.f32_images.empty(),
        "dataset {}: expected images as bytes or as f32, got both; leave one empty", name_of_split(dataset));
  const bool is_f32 = dataset.pixel_type() == DType::kF32;
  const auto got = static_cast<std::int64_t>(is_f32 ? dataset.f32_images.size() : dataset.images.size());
  const std::int64_t expected = dataset.count * image_elements(dataset);
  check(got == expected, "dataset {}: expected {} {} of images for {} images of {}, got {}", name_of_split(dataset),
        expected, is_f32 ? "f32 values" : "bytes", dataset.count, image_text(dataset), got);
}

void check_finite(const Dataset& dataset) {
  const auto found =
      std::find_if_not(dataset.f32_images.begin(), dataset.f32_images.end(), [](float v) { return std::isfinite(v); });
  if (found == dataset.f32_images.end()) return;
  const std::int64_t at = found - dataset.f32_images.begin(), pixel = at / dataset.channels;
  fail("dataset {}: expected finite pixels, got {} in image {}, row {}, column {}, channel {}", name_of_split(dataset),
       *found, at / image_elements(dataset), pixel / dataset.width % dataset.height, pixel % dataset.width,
       at % dataset.channels);
}

/// The sums of bytes and of their squares are exact in 64 bits for up to 2^48 pixels.
ChannelStatistics byte_statistics(const Dataset& dataset, double pixels) {
  std::array<std::uint64_t, kMaxImageChannels> sum{}, squares{};
  const auto channels = static_cast<std::size_t>(dataset.channels);
  for (std::size_t i = 0; i < dataset.images.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::uint64_t value = dataset.images[i + c];
      sum[c] += value;
      squares[c] += value * value;
    }
  }
  ChannelStatistics statistics;
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sum[c]) / pixels;
    const double variance = static_cast<double>(squares[c]) / pixels - mean * mean;
    statistics.mean[c] = mean / 255.0;
    statistics.deviation[c] = std::sqrt(variance > 0.0 ? variance : 0.0) / 255.0;
  }
  return statistics;
}

/// The second pass sums squared differences from the mean. If the values are far from 0, the difference between the
/// mean square and the squared mean would cancel.
ChannelStatistics f32_statistics(const Dataset& dataset, double pixels) {
  ChannelStatistics statistics;
  const auto channels = static_cast<std::size_t>(dataset.channels);
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = c; i < dataset.f32_images.size(); i += channels)
      sum += static_cast<double>(dataset.f32_images[i]);
    const double mean = sum / pixels;
    for (std::size_t i = c; i < dataset.f32_images.size(); i += channels) {
      const double difference = static_cast<double>(dataset.f32_images[i]) - mean;
      squares += difference * difference;
    }
    statistics.mean[c] = mean;
    statistics.deviation[c] = std::sqrt(squares / pixels);
  }
  return statistics;
}

}  // namespace

void check_dataset(const Dataset& dataset) {
  const auto labels = static_cast<std::int64_t>(dataset.labels.size());
  const auto names = static_cast<std::int64_t>(dataset.class_names.size());
  check_image_shape(dataset);
  check_image_sizes(dataset);
  check(labels == dataset.count, "dataset {}: expected {} labels, got {}", name_of_split(dataset), dataset.count,
        labels);
  check(names == dataset.classes, "dataset {}: expected {} class names, got {}", name_of_split(dataset),
        dataset.classes, names);
  for (std::int64_t i = 0; i < dataset.count; ++i) {
    const std::int32_t label = dataset.labels[static_cast<std::size_t>(i)];
    check(label >= 0 && label < dataset.classes, "dataset {}: image {} has the label {}, expected 0 to {}",
          name_of_split(dataset), i, label, dataset.classes - 1);
  }
  check_finite(dataset);
}

void check_splits_agree(const Dataset& train, const Dataset& other) {
  check(other.classes == train.classes, "expected {} images of the {} classes of the {} images, got {} classes",
        other.split, train.classes, train.split, other.classes);
  const std::string expected = fmt::format("{} {}", image_text(train), name_of(train.pixel_type()));
  const std::string got = fmt::format("{} {}", image_text(other), name_of(other.pixel_type()));
  check(got == expected, "expected {} images of {} like the {} images, got {}", other.split, expected, train.split,
        got);
}

ChannelStatistics channel_statistics(const Dataset& dataset) {
  check(dataset.count > 0, "dataset {}: expected at least one image to take statistics of, got none",
        name_of_split(dataset));
  const auto pixels = static_cast<double>(dataset.count * dataset.height * dataset.width);
  return dataset.pixel_type() == DType::kF32 ? f32_statistics(dataset, pixels) : byte_statistics(dataset, pixels);
}

std::string fingerprint(const Dataset& dataset) {
  const std::uint32_t pixels =
      crc32c(std::as_bytes(std::span(dataset.f32_images)), crc32c(std::as_bytes(std::span(dataset.images))));
  return fmt::format("{} {:08x} {:08x}", dataset.split, pixels, crc32c(std::as_bytes(std::span(dataset.labels))));
}

Dataset first_images(const Dataset& dataset, std::int64_t count) {
  check(count >= 1 && count <= dataset.count, "dataset {}: expected 1 to {} images to be taken, got {}",
        name_of_split(dataset), dataset.count, count);
  return slice(dataset, 0, count);
}

std::pair<Dataset, Dataset> split_off_last(const Dataset& dataset, std::int64_t count) {
  check(count >= 1 && count < dataset.count, "dataset {}: expected 1 to {} images to be held out, got {}",
        name_of_split(dataset), dataset.count - 1, count);
  std::pair<Dataset, Dataset> parts{slice(dataset, 0, dataset.count - count),
                                    slice(dataset, dataset.count - count, dataset.count)};
  parts.second.split = "validation";
  return parts;
}

}  // namespace gradamp
