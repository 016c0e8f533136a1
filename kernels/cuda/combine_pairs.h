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

/// Combines the pairs of groups, or of ranges of groups, by the threads of Block, which has a slice of kColumns
/// channels.
template <Pair kPair, typename Block, int kColumns>
class PairCombination {
  /// Every channel has this many partial sums, with any number of threads: the same bits for every tile.
  static constexpr int kSums = 8;

 public:
  static constexpr int kSharedDoubles = 2 * kSums * kColumns;

  /// The block's group of rows and its slice of the channels. `slices`: of the launch.
  __device__ PairCombination(const ChannelPairs& pairs, int group, int slice, int slices)
      : pairs_(pairs), slice_(slice), slices_(slices), group_(group) {}

  /// All threads of Block call both: begin() after the block's last store of a pair, finish() after its last use of
  /// `shared` (kSharedDoubles). Work between them hides the time that the counter takes. The launch's last block of the
  /// slice stores its result.
  __device__ void begin() {
    range_ = group_ / pairs_.groups_of_range;
    const bool is_single = range_count() == 1;
    unsigned* const counter =
        is_single ? slice_counter() : pairs_.completion_counters + slices_ + slice_ * range_count() + range_;
    ticket_ = take_ticket<Block>(counter, static_cast<unsigned>(count_of_range()));
  }

  __device__ void finish(double* shared) const {
    int* const flag = reinterpret_cast<int*>(shared);
    if (!learn_ticket<Block>(ticket_, flag)) return;
    const ChannelPairs& pairs = pairs_;
    const int channels = pairs.channels, channel = slice_ * kColumns + static_cast<int>(threadIdx.x) % kColumns;
    const bool exists = channel < channels, is_first = exists && static_cast<int>(threadIdx.x) < kColumns;
    const int range = range_, first = range * pairs.groups_of_range, count = count_of_range();
    const std::int64_t full_range = std::int64_t{pairs.groups_of_range} * kGroupRows;
    const std::int64_t range_rows = min(full_range, pairs.rows - range * full_range);
    Part total = combine(exists ? count : 0, range_rows, shared, [&](int i) {
      const float* const from = pairs.groups + std::int64_t{first + i} * 2 * channels + channel;
      const std::int64_t rows = min(std::int64_t{kGroupRows}, range_rows - std::int64_t{i} * kGroupRows);
      return Part{__ldcg(from), __ldcg(from + channels), static_cast<double>(rows)};
    });
    if (range_count() > 1) {
      if (is_first) {
        double* const to = pairs.ranges + std::int64_t{range} * 2 * channels + channel;
        to[0] = total.first;
        to[channels] = total.second;
      }
      if (!is_last_block<Block>(slice_counter(), static_cast<unsigned>(range_count()), flag)) return;
      total = combine(exists ? range_count() : 0, pairs.rows, shared, [&](int i) {
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
  __device__ int range_count() const { return ChannelPairs::count_ranges(pairs_.group_count, pairs_.groups_of_range); }
  __device__ int count_of_range() const {
    return min(pairs_.groups_of_range, pairs_.group_count - range_ * pairs_.groups_of_range);
  }
  __device__ unsigned* slice_counter() const { return pairs_.completion_counters + slice_; }

  /// The pair of a part of the rows.
  struct Part {
    double first, second, rows;
  };

  /// The pair of all `count` parts, which part(i) reads, of `total_rows` rows: valid in the first kColumns threads.
  /// The block works alone and waits for memory, so it has several loads in flight.
  template <typename ReadPart>
  __device__ static Part combine(int count, std::int64_t total_rows, double* shared, const ReadPart& part) {
    constexpr int kThreadsOfColumn = Block::kThreads / kColumns, kOwn = kSums / kThreadsOfColumn;
    constexpr int kAtOnce = Block::kThreads > 128 ? 4 : 8;
    static_assert(Block::kThreads % kColumns == 0 && kSums % kThreadsOfColumn == 0 && kAtOnce % kOwn == 0);
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
    Block::sync();
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

  const ChannelPairs& pairs_;
  int slice_, slices_, group_, range_ = 0;
  bool ticket_ = false;
};

}  // namespace gradamp::GRADAMP_GPU
