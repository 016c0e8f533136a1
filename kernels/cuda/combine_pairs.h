// SPDX-License-Identifier: MIT
// What the blocks of a launch do with ChannelPairs.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/channel_pairs.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {

/// What a pair is, and so how pairs of parts of the rows are combined.
enum class Pair {
  kMoments,  // mean and sum of squared deviations from it: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae
             // and a pairwise algorithm for computing sample variances", 1979
  kSums      // two sums
};

/// Stores a channel's pair of a group of rows.
__device__ __forceinline__ void store_pair_of_group(const ChannelPairs& pairs, int group, int channel, float first,
                                                    float second) {
  float* const to = pairs.groups + std::int64_t{group} * 2 * pairs.channels + channel;
  to[0] = first;
  to[pairs.channels] = second;
}

/// Combines the pairs of groups, or of ranges of groups, in a block of kThreads with a slice of kColumns channels.
template <Pair kPair, int kThreads, int kColumns>
class PairCombination {
  /// Every channel has this many partial sums, with any number of threads: the same bits for every tile.
  static constexpr int kSums = 8;

 public:
  static constexpr int kSharedDoubles = 2 * kSums * kColumns;

  /// All threads of the block call it, after the block's last store of a pair and its last use of `shared`
  /// (kSharedDoubles). `slices`: of the launch. The launch's last block of the slice stores its result.
  __device__ static void run(const ChannelPairs& pairs, int group, int slice, int slices, double* shared) {
    const int channels = pairs.channels, channel = slice * kColumns + static_cast<int>(threadIdx.x) % kColumns;
    const bool exists = channel < channels, is_first = exists && static_cast<int>(threadIdx.x) < kColumns;
    const int range_count = ChannelPairs::count_ranges(pairs.group_count, pairs.groups_of_range);
    const int range = group / pairs.groups_of_range, first = range * pairs.groups_of_range;
    const int count = min(pairs.groups_of_range, pairs.group_count - first);
    unsigned* const slice_counter = pairs.completion_counters + slice;
    const bool is_single = range_count == 1;
    unsigned* const range_counter = pairs.completion_counters + slices + slice * range_count + range;
    if (!is_last_block(is_single ? slice_counter : range_counter, static_cast<unsigned>(count))) return;
    const std::int64_t full_range = std::int64_t{pairs.groups_of_range} * kGroupRows;
    const std::int64_t range_rows = min(full_range, pairs.rows - range * full_range);
    Part total = combine(exists ? count : 0, range_rows, shared, [&](int i) {
      const float* const from = pairs.groups + std::int64_t{first + i} * 2 * channels + channel;
      const std::int64_t rows = min(std::int64_t{kGroupRows}, range_rows - std::int64_t{i} * kGroupRows);
      return Part{__ldcg(from), __ldcg(from + channels), static_cast<double>(rows)};
    });
    if (!is_single) {
      if (is_first) {
        double* const to = pairs.ranges + std::int64_t{range} * 2 * channels + channel;
        to[0] = total.first;
        to[channels] = total.second;
      }
      if (!is_last_block(slice_counter, static_cast<unsigned>(range_count))) return;
      total = combine(exists ? range_count : 0, pairs.rows, shared, [&](int i) {
        const double* const from = pairs.ranges + std::int64_t{i} * 2 * channels + channel;
        const std::int64_t rows = min(full_range, pairs.rows - i * full_range);
        return Part{__ldcg(from), __ldcg(from + channels), static_cast<double>(rows)};
      });
    }
    if (!is_first) return;
    pairs.result[channel] = static_cast<float>(total.first);
    pairs.result[channels + channel] = static_cast<float>(total.second);
  }

 private:
  /// The pair of a part of the rows.
  struct Part {
    double first, second, rows;
  };

  /// The pair of all `count` parts, which part(i) reads, of `total_rows` rows: valid in the first kColumns threads.
  /// The block works alone and waits for memory, so it has several loads in flight.
  template <typename ReadPart>
  __device__ static Part combine(int count, std::int64_t total_rows, double* shared, const ReadPart& part) {
    constexpr int kThreadsOfColumn = kThreads / kColumns, kOwn = kSums / kThreadsOfColumn, kAtOnce = 8;
    static_assert(kThreads % kColumns == 0 && kSums % kThreadsOfColumn == 0 && kAtOnce % kOwn == 0);
    const int column = static_cast<int>(threadIdx.x) % kColumns, own = static_cast<int>(threadIdx.x) / kColumns;
    // For moments, near the mean, which avoids cancellation.
    const double shift = kPair == Pair::kMoments && count > 0 ? part(0).first : 0.0;
    double sums[kOwn][2] = {};
    for (int first = 0; first < count; first += kAtOnce / kOwn * kSums) {
      Part parts[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int at = first + i / kOwn * kSums + i % kOwn * kThreadsOfColumn + own;
        parts[i] = at < count ? part(at) : Part{shift, 0.0, 0.0};
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) add(parts[i], shift, sums[i % kOwn]);
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
    if constexpr (kPair == Pair::kSums) return {totals[0], totals[1], all};
    const double offset = totals[0] / all;
    return {shift + offset, fmax(0.0, totals[1] - totals[0] * offset), all};
  }

  __device__ static void add(const Part& part, double shift, double (&sums)[2]) {
    if constexpr (kPair == Pair::kSums) {
      sums[0] += part.first;
      sums[1] += part.second;
    } else {
      const double offset = part.first - shift;
      sums[0] += part.rows * offset;
      sums[1] += part.second + part.rows * offset * offset;
    }
  }
};

}  // namespace gradamp::GRADAMP_GPU
