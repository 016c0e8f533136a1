// SPDX-License-Identifier: MIT
// Two values of every channel over all rows of a matrix, for batch norm: in the forward the mean and the sum of squared
// deviations from it, in the backward two sums. Blocks compute them for groups of rows, and the last of them combine
// the groups.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

struct Rows {
  std::int64_t rows = 0;
  int channels = 0;
};

/// Rows (pixels) per group.
inline constexpr int kGroupRows = 128;

/// Maximum number of completion counters of a launch.
inline constexpr int kMaxCompletionCounters = 1 << 14;

/// Where a launch computes such pairs of its result. Its blocks are (groups of kGroupRows rows) x (slices of channels).
/// The last block of a range of groups combines the range, and the last of these blocks combines the ranges: one block
/// for all groups would work alone, and longer than the blocks before it. Ranges depend on the shape alone.
struct ChannelPairs {
  float* result = nullptr;        // out (2, C); null: none are computed
  float* groups;                  // (groups, 2, C)
  double* ranges;                 // (ranges, 2, C), unused if there is one
  unsigned* completion_counters;  // kMaxCompletionCounters zeros, and zeros again afterwards
  std::int64_t rows;
  int channels, group_count, groups_of_range;

  ChannelPairs() = default;
  /// `memory`: workspace(rows) doubles.
  ChannelPairs(const Rows& shape, float* out, double* memory, unsigned* counters)
      : result(out),
        groups(reinterpret_cast<float*>(memory + range_values(shape))),
        ranges(memory),
        completion_counters(counters),
        rows(shape.rows),
        channels(shape.channels),
        group_count(count_groups(shape)),
        groups_of_range(range_size(shape)) {}

  /// The size of the memory that the groups and ranges need, in doubles.
  static std::size_t workspace(const Rows& shape) {
    return range_values(shape) +
           static_cast<std::size_t>(count_groups(shape)) * static_cast<std::size_t>(shape.channels);
  }

  __host__ __device__ static int count_ranges(int groups, int groups_of_range) {
    return (groups + groups_of_range - 1) / groups_of_range;
  }
  static int count_groups(const Rows& shape) { return static_cast<int>((shape.rows + kGroupRows - 1) / kGroupRows); }

 private:
  static constexpr int kMaxGroupsAtOnce = 32;
  static constexpr int kMinSliceChannels = 32;

  /// About as many groups in a range as there are ranges.
  static int range_size(const Rows& shape) {
    const int count = count_groups(shape);
    if (count <= kMaxGroupsAtOnce) return std::max(count, 1);
    const int size = (static_cast<int>(std::ceil(std::sqrt(count))) + 7) / 8 * 8;
    const std::int64_t slices = (shape.channels + kMinSliceChannels - 1) / kMinSliceChannels;
    return (count_ranges(count, size) + 1) * slices <= kMaxCompletionCounters ? size : count;
  }
  static std::size_t range_values(const Rows& shape) {
    const int count = count_groups(shape), size = range_size(shape);
    return static_cast<std::size_t>(count_ranges(count, size)) * 2 * static_cast<std::size_t>(shape.channels);
  }
};

}  // namespace gradamp::GRADAMP_GPU
