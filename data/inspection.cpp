// SPDX-License-Identifier: MIT
#include "gradamp/data/inspection.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

/// A range of images, those of one file.
struct Part {
  std::int64_t begin = 0;
  std::int64_t count = 0;

  std::string name() const { return fmt::format("images {} to {}", begin + 1, begin + count); }
};

std::string_view pixels_of(const Dataset& dataset, std::int64_t begin, std::int64_t count) {
  const auto size = static_cast<std::size_t>(dataset.height * dataset.width * dataset.channels);
  return {reinterpret_cast<const char*>(dataset.images.data()) + static_cast<std::size_t>(begin) * size,
          static_cast<std::size_t>(count) * size};
}

std::int64_t black_images(const Dataset& dataset, const Part& part) {
  std::int64_t black = 0;
  for (std::int64_t i = part.begin; i < part.begin + part.count; ++i) {
    black += pixels_of(dataset, i, 1).find_first_not_of('\0') == std::string_view::npos;
  }
  return black;
}

/// The class with the most images in a part, and their number.
std::pair<std::int32_t, std::int64_t> largest_class(const Dataset& dataset, const Part& part) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset.classes), 0);
  for (std::int64_t i = part.begin; i < part.begin + part.count; ++i) {
    ++counts[static_cast<std::size_t>(dataset.labels[static_cast<std::size_t>(i)])];
  }
  const auto largest = std::max_element(counts.begin(), counts.end());
  return {static_cast<std::int32_t>(largest - counts.begin()), *largest};
}

}  // namespace

std::vector<std::string> suspicious_content(const Dataset& dataset, std::int64_t per_file) {
  check_dataset(dataset);
  check(dataset.pixel_type() == DType::kU8 && per_file > 0, "expected images of bytes, and some in each file");
  constexpr std::int64_t kMinForClasses = 20;  // fewer images can be of one class by chance
  std::vector<std::string> signs;
  std::map<std::string_view, Part> parts;
  for (Part part; part.begin < dataset.count; part.begin += part.count) {
    part.count = std::min(per_file, dataset.count - part.begin);
    const std::string where = fmt::format("{} {}, {}", dataset.name, dataset.split, part.name());
    if (const std::int64_t black = black_images(dataset, part); black > 0) {
      signs.push_back(fmt::format("{}: {} are black; a part of the file may be zeroed", where, black));
    }
    const auto [first, is_new] = parts.emplace(pixels_of(dataset, part.begin, part.count), part);
    if (!is_new) signs.push_back(fmt::format("{}: the same as {}", where, first->second.name()));
    const auto [label, count] = largest_class(dataset, part);
    if (part.count >= kMinForClasses && dataset.classes > 2 && 2 * count > part.count) {
      signs.push_back(fmt::format("{}: {} of {} are of the class {}", where, count, part.count,
                                  dataset.class_names[static_cast<std::size_t>(label)]));
    }
  }
  std::unordered_set<std::string_view> different;
  for (std::int64_t i = 0; i < dataset.count; ++i) different.insert(pixels_of(dataset, i, 1));
  const std::int64_t repeated = dataset.count - static_cast<std::int64_t>(different.size());
  if (100 * repeated > dataset.count) {  // the official files have a few
    signs.push_back(fmt::format("{} {}: {} of {} images are repetitions of others", dataset.name, dataset.split,
                                repeated, dataset.count));
  }
  return signs;
}

}  // namespace gradamp
