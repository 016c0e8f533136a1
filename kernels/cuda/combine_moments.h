// SPDX-License-Identifier: MIT
// What the blocks of a launch do with ChannelMomentSums.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/channel_moments.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {

/// Stores a channel's moments of a group of rows.
__device__ __forceinline__ void store_moments(const ChannelMomentSums& sums, int group, int channel, float mean,
                                              float deviations) {
  float* const to = sums.groups + std::int64_t{group} * 2 * sums.channels + channel;
  to[0] = mean;
  to[sums.channels] = deviations;
}

/// Combines the moments of groups, or of ranges of groups, in a block of kThreads with a slice of kColumns channels.
template <int kThreads, int kColumns>
class MomentCombination {
  /// Every channel has this many partial sums, with any number of threads: the same bits for every tile.
  static constexpr int kSums = 8;

 public:
  static constexpr int kSharedDoubles = 2 * kSums * kColumns;

  /// All threads of the block call it, after the block's last store of moments and its last use of `shared`
  /// (kSharedDoubles). `slices`: of the launch. The launch's last block of the slice stores its moments.
  __device__ static void run(const ChannelMomentSums& sums, int group, int slice, int slices, double* shared) {
    const int channels = sums.channels, channel = slice * kColumns + static_cast<int>(threadIdx.x) % kColumns;
    const bool exists = channel < channels, is_first = exists && static_cast<int>(threadIdx.x) < kColumns;
    const int range_count = ChannelMomentSums::count_ranges(sums.group_count, sums.groups_of_range);
    const int range = group / sums.groups_of_range, first = range * sums.groups_of_range;
    const int count = min(sums.groups_of_range, sums.group_count - first);
    unsigned* const slice_counter = sums.completion_counters + slice;
    const bool is_single = range_count == 1;
    unsigned* const range_counter = sums.completion_counters + slices + slice * range_count + range;
    if (!is_last_block(is_single ? slice_counter : range_counter, static_cast<unsigned>(count))) return;
    const std::int64_t full_range = std::int64_t{sums.groups_of_range} * kMomentRows;
    const std::int64_t range_rows = min(full_range, sums.rows - range * full_range);
    Part total = combine(exists ? count : 0, range_rows, shared, [&](int i) {
      const float* const from = sums.groups + std::int64_t{first + i} * 2 * channels + channel;
      const std::int64_t rows = min(std::int64_t{kMomentRows}, range_rows - std::int64_t{i} * kMomentRows);
      return Part{__ldcg(from), __ldcg(from + channels), static_cast<double>(rows)};
    });
    if (!is_single) {
      if (is_first) {
        double* const to = sums.ranges + std::int64_t{range} * 2 * channels + channel;
        to[0] = total.mean;
        to[channels] = total.deviations;
      }
      if (!is_last_block(slice_counter, static_cast<unsigned>(range_count))) return;
      total = combine(exists ? range_count : 0, sums.rows, shared, [&](int i) {
        const double* const from = sums.ranges + std::int64_t{i} * 2 * channels + channel;
        const std::int64_t rows = min(full_range, sums.rows - i * full_range);
        return Part{__ldcg(from), __ldcg(from + channels), static_cast<double>(rows)};
      });
    }
    if (!is_first) return;
    sums.moments[channel] = static_cast<float>(total.mean);
    sums.moments[channels + channel] = static_cast<float>(total.deviations);
  }

 private:
  /// The moments of a part of the rows.
  struct Part {
    double mean, deviations, rows;
  };

  /// The moments of all `count` parts, which part(i) reads, of `total_rows` rows: valid in the first kColumns threads.
  /// The block works alone and waits for memory, so it has several loads in flight.
  template <typename ReadPart>
  __device__ static Part combine(int count, std::int64_t total_rows, double* shared, const ReadPart& part) {
    constexpr int kThreadsOfColumn = kThreads / kColumns, kOwn = kSums / kThreadsOfColumn, kAtOnce = 8;
    static_assert(kThreads % kColumns == 0 && kSums % kThreadsOfColumn == 0 && kAtOnce % kOwn == 0);
    const int column = static_cast<int>(threadIdx.x) % kColumns, own = static_cast<int>(threadIdx.x) / kColumns;
    const double shift = count > 0 ? part(0).mean : 0.0;  // near the mean, which avoids cancellation
    double sums[kOwn][2] = {};
    for (int first = 0; first < count; first += kAtOnce / kOwn * kSums) {
      Part parts[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int at = first + i / kOwn * kSums + i % kOwn * kThreadsOfColumn + own;
        parts[i] = at < count ? part(at) : Part{shift, 0.0, 0.0};
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const double offset = parts[i].mean - shift;
        sums[i % kOwn][0] += parts[i].rows * offset;
        sums[i % kOwn][1] += parts[i].deviations + parts[i].rows * offset * offset;
      }
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int kind = 0; kind < 2; ++kind)
        shared[(kind * kSums + i * kThreadsOfColumn + own) * kColumns + column] = sums[i][kind];
    }
    __syncthreads();
    double totals[2] = {};
#pragma unroll
    for (int kind = 0; kind < 2; ++kind) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) totals[kind] += shared[(kind * kSums + i) * kColumns + column];
    }
    const auto all = static_cast<double>(total_rows);
    const double offset = totals[0] / all;
    return {shift + offset, fmax(0.0, totals[1] - totals[0] * offset), all};
  }
};

}  // namespace gradamp::GRADAMP_GPU
