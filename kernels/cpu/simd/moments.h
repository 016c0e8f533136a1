// SPDX-License-Identifier: MIT
// The moments of a convolution's output (ChannelMoments in core/backend.h): the results of one task are one group.
#pragma once

#include <algorithm>

#include "gradamp/kernels/cpu/simd/register_kernel.h"

namespace gradamp::GRADAMP_SIMD {

/// Where a group's moments are written, beginning with the first of some adjacent channels.
struct GroupMoments {
  float *mean, *deviations;
};

/// The moments (groups, 2, channels) of all groups. `values` is null if none are computed.
struct MomentsOutput {
  float* values;
  std::int64_t channels;

  GroupMoments at(std::int64_t group, std::int64_t channel) const {
    float* const mean = values + 2 * group * channels + channel;
    return {mean, mean + channels};
  }
};

/// Sums over the values of a group whose mean is not known yet: of value - shift and of its square, for each channel.
/// The shift is the first value. That avoids cancellation: it differs from the mean by about a standard deviation.
struct ShiftedSums {
  float* data;            // 3 rows of `channels` floats
  std::int64_t channels;  // whole groups of 16

  static constexpr std::int64_t floats(std::int64_t channels) { return 3 * channels; }
  float* shift(std::int64_t channel) const { return data + channel; }
  float* sum(std::int64_t channel) const { return data + channels + channel; }
  float* squares(std::int64_t channel) const { return data + 2 * channels + channel; }

  /// The moments of the first `count` channels of a group of `rows` pixels.
  void finish(std::int64_t rows, std::int64_t count, const GroupMoments& out) const {
    const float share = 1.0f / static_cast<float>(rows);
    for (std::int64_t c = 0; c < count; ++c) {
      const float mean = *sum(c) * share;
      out.mean[c] = *shift(c) + mean;
      out.deviations[c] = std::max(0.0f, *squares(c) - *sum(c) * mean);
    }
  }
};

/// The moments of a matrix in groups of 16 columns, as lines: each of its `rows` rows, plus the bias, is a pixel with
/// `channels` channels. `bias` is filled up with zeros to whole groups.
template <int kWidth>
void moments_of_lines(const float* lines, std::int64_t group_stride, std::int64_t rows, std::int64_t channels,
                      const float* bias, const GroupMoments& out) {
  const float share = 1.0f / static_cast<float>(rows);
  for (std::int64_t channel = 0; channel < channels; channel += kWidth) {
    const float* const first = lines + channel / kGroup * group_stride + channel % kGroup;
    Simd<kWidth> sum{}, squares{};
    for (std::int64_t row = 0; row < rows; ++row) sum += load<kWidth>(first + row * kGroup);
    const Simd<kWidth> mean = sum * share;
    for (std::int64_t row = 0; row < rows; ++row) {
      const Simd<kWidth> d = load<kWidth>(first + row * kGroup) - mean;
      squares += d * d;
    }
    store_first<kWidth>(out.mean + channel, mean + load<kWidth>(bias + channel), channels - channel);
    store_first<kWidth>(out.deviations + channel, squares, channels - channel);
  }
}

}  // namespace gradamp::GRADAMP_SIMD
