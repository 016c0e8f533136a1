// SPDX-License-Identifier: MIT
// What a forward convolution does with its accumulators, the same for the tiles of convolution_tile.h and of
// hopper_tile.h: it adds the bias, computes the moments that a following batch norm needs, and stores them.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/combine_pairs.h"
#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {

/// Destination of the accumulators.
template <typename T>
struct ForwardOutput {
  T* y;
  const float* bias;  // or null
  ChannelPairs moments;
  int pixels, channels;
};

/// Adds the bias. A lane holds the columns 8 j + 2 member + parity of its warp's accumulators (ptx.h).
template <typename Sums, int kTilesM, int kTilesN>
__device__ void add_bias(const float* bias, int first_channel, int channels, Sums& sums) {
#pragma unroll
  for (int j = 0; j < kTilesN; ++j) {
#pragma unroll
    for (int parity = 0; parity < 2; ++parity) {
      const int channel = first_channel + j * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + parity;
      const float value = channel < channels ? bias[channel] : 0.0f;
#pragma unroll
      for (int i = 0; i < kTilesM; ++i) {
        sums[i][j][parity] += value;
        sums[i][j][parity + 2] += value;
      }
    }
  }
}

/// Mean and squared deviations of the block's columns over its rows: a group of ChannelPairs.
template <typename Block>
struct BlockMoments {
  static_assert(Block::kM == kGroupRows);
  float (&columns)[Block::kWarpsM][Block::kN];  // shared

  /// Sums value(i, j, e) over all rows of the block, for each of a lane's columns: totals[j][parity].
  template <typename Value>
  __device__ void sum_columns(const Value& value, float (&totals)[Block::kTilesN][2]) const {
    constexpr int kColumns = 2 * Block::kTilesN;  // of a lane
    static_assert(kColumns % 8 == 0);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float sums[kColumns];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      sums[c] = 0;
#pragma unroll
      for (int i = 0; i < Block::kTilesM; ++i) sums[c] += value(i, c / 2, c % 2) + value(i, c / 2, c % 2 + 2);
    }
    // Eight lanes have the same columns. In each of three exchanges a lane gives half of them away: an eighth is left.
    int first = exchange_halves<kColumns / 2, 4>(sums);
    first += exchange_halves<kColumns / 4, 8>(sums);
    first += exchange_halves<kColumns / 8, 16>(sums);
#pragma unroll
    for (int i = 0; i < kColumns / 8; ++i) {
      const int c = first + i;
      columns[Block::warp_m()][Block::warp_n() * Block::kWarpN + c / 2 * 8 + lane % 4 * 2 + c % 2] = sums[i];
    }
    Block::sync();
#pragma unroll
    for (int j = 0; j < Block::kTilesN; ++j) {
#pragma unroll
      for (int parity = 0; parity < 2; ++parity) {
        totals[j][parity] = 0;
        for (int warp = 0; warp < Block::kWarpsM; ++warp)
          totals[j][parity] += columns[warp][Block::warp_n() * Block::kWarpN + j * 8 + lane % 4 * 2 + parity];
      }
    }
    Block::sync();  // `columns` may be overwritten now
  }

  /// Stores the moments. `first_row` and `first_channel` are the block's.
  template <typename Sums, typename Out>
  __device__ void store(const Sums& sums, int first_row, int first_channel, const ForwardOutput<Out>& out) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int rows = min(Block::kM, out.pixels - first_row);
    const auto exists = [&](int i, int e) {
      return Block::warp_m() * Block::kWarpM + i * 16 + e / 2 * 8 + lane / 4 < rows;
    };
    float means[Block::kTilesN][2], deviations[Block::kTilesN][2];
    sum_columns([&](int i, int j, int e) { return exists(i, e) ? sums[i][j][e] : 0.0f; }, means);
    const float share = 1.0f / static_cast<float>(rows);
#pragma unroll
    for (auto& pair : means)
      for (float& mean : pair) mean *= share;
    sum_columns(
        [&](int i, int j, int e) {
          const float d = exists(i, e) ? sums[i][j][e] - means[j][e % 2] : 0.0f;
          return d * d;
        },
        deviations);
    if (Block::warp_m() != 0 || lane >= 4) return;
#pragma unroll
    for (int j = 0; j < Block::kTilesN; ++j) {
#pragma unroll
      for (int parity = 0; parity < 2; ++parity) {
        const int channel = first_channel + Block::warp_n() * Block::kWarpN + j * 8 + lane * 2 + parity;
        if (channel < out.channels)
          store_pair_of_group(out.moments, first_row / kGroupRows, channel, means[j][parity], deviations[j][parity]);
      }
    }
  }

 private:
  /// Adds 2 kHalf sums to those of the lane `kDistance` away. Afterwards the lower of the two lanes has the first kHalf
  /// results, the other one the rest. Returns the number of the first.
  template <int kHalf, int kDistance, int kCount>
  __device__ __forceinline__ static int exchange_halves(float (&sums)[kCount]) {
    const bool upper = (static_cast<int>(threadIdx.x) & kDistance) != 0;
#pragma unroll
    for (int c = 0; c < kHalf; ++c) {
      const float low = sums[c], high = sums[c + kHalf];
      sums[c] = (upper ? high : low) + __shfl_xor_sync(kAllLanes, upper ? low : high, kDistance);
    }
    return upper ? kHalf : 0;
  }
};

/// The epilogue of a forward convolution. Product: a BlockProduct of Block. `shared`: its dynamic shared memory.
/// `first_pixel` and `first_channel` are the block's.
template <typename Block, typename Product, Copy kCopy, typename T>
__device__ __forceinline__ void finish_forward(void* shared, typename Product::Sums& sums, const Divisor::Result& tile,
                                               int channel_tiles, const ForwardOutput<T>& out) {
  const int first_pixel = tile.quotient * Block::kM, first_channel = tile.remainder * Block::kN;
  if (out.bias) {
    add_bias<typename Product::Sums, Block::kTilesM, Block::kTilesN>(
        out.bias, first_channel + Block::warp_n() * Block::kWarpN, out.channels, sums);
  }
  PairCombination<Pair::kMoments, Block, Block::kN> moments(out.moments, tile.quotient, tile.remainder, channel_tiles);
  if (out.moments.result) {
    auto& columns = *static_cast<float(*)[Block::kWarpsM][Block::kN]>(shared);
    BlockMoments<Block>{columns}.store(sums, first_pixel, first_channel, out);
    moments.begin();
  }
  const auto row_begin = [&](int row) -> T* {
    const int pixel = first_pixel + row;
    return pixel < out.pixels ? out.y + std::int64_t{pixel} * out.channels + first_channel : nullptr;
  };
  Product::template store_sums<T, kCopy>(shared, sums, out.channels - first_channel, out.channels % kVector<T> == 0,
                                         row_begin);
  if (out.moments.result) moments.finish(static_cast<double*>(shared));
}

}  // namespace gradamp::GRADAMP_GPU
