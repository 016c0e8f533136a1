// SPDX-License-Identifier: MIT
#include "gradamp/data/images/resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

/// A pixel of an axis as a weighted sum of neighboring pixels of the source. The weights add up to 1.
struct Taps {
  std::int64_t first = 0;  // index in the source
  std::vector<double> weights;
};

/// The part of the source that each pixel covers.
std::vector<Taps> area_taps(std::int64_t from, std::int64_t to) {
  std::vector<Taps> taps(static_cast<std::size_t>(to));
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  for (std::int64_t i = 0; i < to; ++i) {
    Taps& own = taps[static_cast<std::size_t>(i)];
    const double begin = static_cast<double>(i) * ratio, end = static_cast<double>(i + 1) * ratio;
    own.first = static_cast<std::int64_t>(begin);
    for (std::int64_t j = own.first; j < from && static_cast<double>(j) < end; ++j) {
      const double covered = std::min(end, static_cast<double>(j + 1)) - std::max(begin, static_cast<double>(j));
      own.weights.push_back(covered / ratio);
    }
  }
  return taps;
}

/// The two pixels whose centers are around each pixel's center.
std::vector<Taps> linear_taps(std::int64_t from, std::int64_t to) {
  std::vector<Taps> taps(static_cast<std::size_t>(to));
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  for (std::int64_t i = 0; i < to; ++i) {
    const double center = std::clamp((static_cast<double>(i) + 0.5) * ratio - 0.5, 0.0, static_cast<double>(from - 1));
    const auto first = std::min(static_cast<std::int64_t>(center), std::max<std::int64_t>(from - 2, 0));
    const double share = center - static_cast<double>(first);
    taps[static_cast<std::size_t>(i)] = {first, {1 - share}};
    if (from > 1) taps[static_cast<std::size_t>(i)].weights.push_back(share);
  }
  return taps;
}

std::vector<Taps> taps_of(std::int64_t from, std::int64_t to) {
  return to < from ? area_taps(from, to) : linear_taps(from, to);
}

}  // namespace

std::vector<float> resize(const DecodedImage& image, std::int64_t height, std::int64_t width) {
  check(height >= 1 && width >= 1, "expected a size of at least 1x1 pixels, got {}x{}", width, height);
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t source_row = static_cast<std::size_t>(image.width) * channels;
  const std::vector<Taps> rows = taps_of(image.height, height), columns = taps_of(image.width, width);
  std::vector<float> resized;
  resized.reserve(static_cast<std::size_t>(height * width) * channels);
  std::vector<double> row(source_row);  // of the result's height and the source's width
  for (const Taps& vertical : rows) {
    std::fill(row.begin(), row.end(), 0.0);
    for (std::size_t k = 0; k < vertical.weights.size(); ++k) {
      const std::uint8_t* source = image.values.data() + (static_cast<std::size_t>(vertical.first) + k) * source_row;
      for (std::size_t i = 0; i < source_row; ++i) row[i] += vertical.weights[k] * source[i];
    }
    for (const Taps& horizontal : columns) {
      for (std::size_t c = 0; c < channels; ++c) {
        double value = 0;
        for (std::size_t k = 0; k < horizontal.weights.size(); ++k)
          value += horizontal.weights[k] * row[(static_cast<std::size_t>(horizontal.first) + k) * channels + c];
        resized.push_back(static_cast<float>(value) / 255.0f);
      }
    }
  }
  return resized;
}

}  // namespace gradamp
