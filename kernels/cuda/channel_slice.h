// SPDX-License-Identifier: MIT
// How threads of a grid map to rows of C channels: a block owns one slice of channels and one range of rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {

inline constexpr int kSliceThreads = 256;
inline constexpr int kSliceChannels = 64;

/// The layout depends on the shape alone, so sums are split the same way on every device.
struct ChannelSlices {
  std::int64_t rows, rows_of_block;
  int channels, width;  // width: channels per slice; the last slice may have fewer

  ChannelSlices(std::int64_t row_count, int channel_count)
      : rows(row_count), channels(channel_count), width(std::min(channel_count, kSliceChannels)) {
    const std::int64_t target_ranges = std::max<std::int64_t>(1, kTargetBlocks / slices());
    rows_of_block = std::max(kMinRows, (rows + target_ranges - 1) / target_ranges);
  }

  int slices() const { return (channels + width - 1) / width; }
  std::int64_t ranges() const { return (rows + rows_of_block - 1) / rows_of_block; }
  Launch shape(cudaStream_t stream) const {
    return {dim3(static_cast<unsigned>(ranges()), static_cast<unsigned>(slices())), kSliceThreads, 0, stream};
  }
  /// Size of the partial sums of blocks and groups, in doubles; `kinds` sums per channel.
  std::size_t partial_count(int kinds) const {
    const int range_count = static_cast<int>(ranges()), groups = group_count(range_count);
    const int partials = range_count + (groups > 1 ? groups : 0);
    return static_cast<std::size_t>(partials) * static_cast<std::size_t>(kinds * channels);
  }

  /// A thread's N adjacent channels, and its rows: row, row + row_step, ... below row_end. Example, 64 channels and
  /// N = 8: threads 0 to 7 (their `lane`) own the block's first row, threads 8 to 15 (`row_lane` 1) its second row, and
  /// threads 0 to 7 own row 32 (`row_step`) too.
  struct Index {
    std::int64_t row, row_end;
    int channel, row_step;
    int row_lane, lane;
    bool exists;
  };
  template <int N>
  __device__ Index index() const {
    const int vectors = width / N;
    Index index;
    index.lane = static_cast<int>(threadIdx.x) % vectors;
    index.row_lane = static_cast<int>(threadIdx.x) / vectors;
    index.row_step = kSliceThreads / vectors;
    index.channel = static_cast<int>(blockIdx.y) * width + index.lane * N;
    const std::int64_t begin = std::int64_t{blockIdx.x} * rows_of_block;
    index.row = begin + index.row_lane;
    index.row_end = min(rows, begin + rows_of_block);
    index.exists = index.row_lane < index.row_step && index.channel < channels;
    return index;
  }

  /// Calls load(row, packed) and use(row, packed) for each of a thread's rows. It loads several rows before it uses the
  /// first, so that enough loads are in flight to saturate the memory.
  template <typename Row, typename Load, typename Use>
  __device__ __forceinline__ static void for_each_row(const Index& index, const Load& load, const Use& use) {
    constexpr int kRowsAtOnce = 2;
    for (std::int64_t first = index.row; first < index.row_end; first += kRowsAtOnce * index.row_step) {
      Row rows_loaded[kRowsAtOnce] = {};
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        const std::int64_t row = first + i * index.row_step;
        if (row < index.row_end) load(row, rows_loaded[i]);
      }
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        const std::int64_t row = first + i * index.row_step;
        if (row < index.row_end) use(row, rows_loaded[i]);
      }
    }
  }

  /// Sums kKinds values per channel over all rows, through partial (ranges and groups, kKinds, C). In the last block of
  /// each slice it returns the channel whose totals the calling thread received. It returns -1 in all other blocks and
  /// threads. A thread's own sums are float. All later sums are double, because the totals enter differences that
  /// nearly cancel; double is free here.
  ///
  /// Summing hundreds of ranges would take the last block, which runs alone, longer than its part of the rows. So the
  /// last block of each group of kRangesOfGroup ranges sums these, and the last group sums the groups. A slice's
  /// completion counter is at its index; the groups' counters follow the slices' ones.
  template <int N, int kKinds>
  __device__ int sum_rows(const Index& index, const float (&sums)[kKinds][N], double* partial,
                          unsigned* completion_counters, double (&totals)[kKinds]) const {
    SHARED(shared, float[kSliceThreads * kKinds * N]);
    const int columns = kKinds * width;
    if (index.exists) {
#pragma unroll
      for (int kind = 0; kind < kKinds; ++kind)
#pragma unroll
        for (int i = 0; i < N; ++i)
          shared[index.row_lane * columns + kind * width + index.lane * N + i] = sums[kind][i];
    }
    __syncthreads();
    const int thread = static_cast<int>(threadIdx.x), column = thread % columns;
    const int channel = static_cast<int>(blockIdx.y) * width + column % width;
    const bool exists = channel < channels;
    const int range = static_cast<int>(blockIdx.x), range_count = static_cast<int>(gridDim.x);
    const std::int64_t stride = std::int64_t{kKinds} * channels;
    double* const own = partial + std::int64_t{column / width} * channels + channel;  // of range 0
    if (exists && thread < columns) {
      double sum = 0;
      for (int row = 0; row < index.row_step; ++row) sum += static_cast<double>(shared[row * columns + column]);
      own[range * stride] = sum;
    }
    const int groups = group_count(range_count);
    const bool grouped = groups > 1;
    const int group = grouped ? range / kRangesOfGroup : 0;
    // A group's ranges, then the groups; or all ranges.
    int first = grouped ? group * kRangesOfGroup : 0;
    int count = grouped ? min(kRangesOfGroup, range_count - first) : range_count;
    unsigned* counter = completion_counters + (grouped ? gridDim.y + blockIdx.y * groups + group : blockIdx.y);
#pragma unroll 1
    for (bool last = !grouped;; last = true) {
      if (!is_last_block(counter, static_cast<unsigned>(count))) return -1;
      const int summed = sum_partials<kKinds>(own + first * stride, count, stride, exists, totals);
      if (last) return summed;
      if (summed >= 0) {
        double* const of_group = partial + (range_count + group) * stride + summed;
#pragma unroll
        for (int kind = 0; kind < kKinds; ++kind) of_group[kind * channels] = totals[kind];
      }
      first = range_count;
      count = groups;
      counter = completion_counters + blockIdx.y;
    }
  }

 private:
  static constexpr std::int64_t kTargetBlocks = 512;  // about four per multiprocessor of a large device
  static constexpr std::int64_t kMinRows = 32;
  static constexpr int kRangesOfGroup = 16, kMaxRangesAtOnce = 64;

  /// Number of groups of ranges that are summed before the last sum; 1 if all ranges are summed at once.
  __host__ __device__ static int group_count(int ranges) {
    return ranges > kMaxRangesAtOnce ? (ranges + kRangesOfGroup - 1) / kRangesOfGroup : 1;
  }

  /// Sums `count` partial sums of a slice, which are `stride` apart and begin at `first` for this thread's column, with
  /// several threads per column. Returns the calling thread's channel, of which it has the totals, or -1.
  template <int kKinds>
  __device__ int sum_partials(const double* first, int count, std::int64_t stride, bool exists,
                              double (&totals)[kKinds]) const {
    SHARED(parts, double[kSliceThreads]);
    const int columns = kKinds * width, thread = static_cast<int>(threadIdx.x);
    const int part_count = kSliceThreads / columns;
    double sum = 0;
    if (exists && thread / columns < part_count) {
      // This block may run alone and is bound by memory latency, so it keeps many loads in flight.
      constexpr int kAtOnce = 16;
      for (int from = thread / columns; from < count; from += kAtOnce * part_count) {
        double values[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          const int at = from + i * part_count;
          values[i] = at < count ? __ldcg(first + at * stride) : 0.0;
        }
#pragma unroll
        for (const double value : values) sum += value;
      }
    }
    __syncthreads();  // `parts` of the groups have been read
    parts[thread] = sum;
    __syncthreads();
    if (thread >= width || !exists) return -1;
#pragma unroll
    for (int kind = 0; kind < kKinds; ++kind) {
      totals[kind] = 0;
      for (int p = 0; p < part_count; ++p) totals[kind] += parts[p * columns + kind * width + thread];
    }
    return static_cast<int>(blockIdx.y) * width + thread;
  }
};

}  // namespace gradamp::GRADAMP_GPU
