// SPDX-License-Identifier: MIT
// What the three convolution kernels share: the block's tile, the pipeline that feeds it, and the way of its sums to
// memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/convolution_source.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/tile.h"

namespace gradamp::GRADAMP_GPU {

/// A block of four warps computes kM x kN sums, kWarpsM x kWarpsN warps beside each other.
template <int kM_, int kN_, int kWarpsM_>
struct BlockTile {
  static constexpr int kM = kM_, kN = kN_;
  static constexpr int kThreads = 128;
  static constexpr int kWarpsM = kWarpsM_, kWarpsN = kThreads / 32 / kWarpsM;
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN;
  static constexpr int kTilesM = kWarpM / 16, kTilesN = kWarpN / 8;

  __device__ static int warp_m() { return static_cast<int>(threadIdx.x) / 32 % kWarpsM; }
  __device__ static int warp_n() { return static_cast<int>(threadIdx.x) / 32 / kWarpsM; }
};

/// Blocks that the registers of a multiprocessor are to hold: three of the narrower tiles, so that one's products fill
/// the time of another's loads. Copies of single elements need more registers.
template <Precision kPrecision, typename Block, Copy kCopy>
constexpr int resident_blocks() {
  const bool narrow = Block::kM * Block::kN <= 128 * 64;
  return narrow && kPrecision != Precision::kF32 && kCopy == Copy::kVector ? 3 : 2;
}

/// Depth of a stage: 64 bytes of an operand's row.
template <typename T>
inline constexpr int kStageDepth = 64 / static_cast<int>(sizeof(T));
inline constexpr int kStages = 4;

/// The tiles of an operand in the stages, for an extent of m or n.
template <typename T, Major kMajor, int kExtent>
using OperandTile =
    SharedTile<T, kMajor == Major::kK ? kExtent : kStageDepth<T>, kMajor == Major::kK ? kStageDepth<T> : kExtent>;

/// Calls body(BlockTile) with the tile for a result of rows x columns: the widest of 128, 64 and 32 columns that leaves
/// work for all of a large device. It follows from the shape alone: the same bits on every device.
template <Precision kPrecision, typename Body>
void with_tile_width(int rows, int columns, const Body& body) {
  constexpr int kTargetBlocks = 112;  // one for most multiprocessors: a wider tile reads less, a narrower spreads more
  const auto suits = [&](int width) {
    const int blocks = (rows + 127) / 128 * ((columns + width - 1) / width);
    return columns > width / 2 && blocks >= kTargetBlocks;
  };
  if constexpr (kPrecision != Precision::kF32) {  // by FMA its sums and operands would not fit the registers
    if (suits(128)) return body(BlockTile<128, 128, 2>{});
  }
  if (suits(64)) return body(BlockTile<128, 64, 2>{});
  return body(BlockTile<128, 32, 4>{});
}

/// The windows of a convolution over its input x.
template <typename T>
Im2colSource<T> im2col_of_input(const ConvolutionShape& shape, const void* x) {
  return {.image = static_cast<const T*>(x),
          .height = shape.height,
          .width = shape.width,
          .channels = shape.in_channels,
          .rows = shape.pixels_out(),
          .by_windows_of_image = Divisor(shape.out_height * shape.out_width),
          .by_windows_of_row = Divisor(shape.out_width),
          .columns = shape.taps() * shape.in_channels,
          .by_channels = Divisor(shape.in_channels),
          .by_taps_of_row = Divisor(shape.kernel_w),
          .step = shape.stride,
          .origin_h = -shape.padding,
          .origin_w = -shape.padding,
          .tap_step = 1};
}

/// Types of a product of two operands by a block.
template <Precision kPrecision, typename Block, Major kMajorA, Major kMajorB>
struct BlockProduct {
  using T = Element<kPrecision>;
  using TileA = OperandTile<T, kMajorA, Block::kM>;
  using TileB = OperandTile<T, kMajorB, Block::kN>;
  using Warp = WarpProduct<kPrecision, Block::kTilesM, Block::kTilesN, TileA, kMajorA, TileB, kMajorB>;
  using Sums = typename Warp::Accumulators;
  template <typename Source, Copy kCopy>
  using LoaderA = TileLoader<T, Source, TileA, kMajorA, kCopy, Block::kThreads>;
  template <typename Source, Copy kCopy>
  using LoaderB = TileLoader<T, Source, TileB, kMajorB, kCopy, Block::kThreads>;

  static constexpr int kStageElements = TileA::kElements + TileB::kElements;
  /// A row of 16 bytes more, so that the rows of a column lie in different banks.
  template <typename Out>
  static constexpr int kStagingRow = Block::kWarpN + kVector<Out>;
  /// Dynamic shared memory: the stages, and later in their place the sums on their way out, as elements of Out.
  template <typename Out>
  static constexpr std::size_t kSharedBytes = std::max(sizeof(T) * kStages * kStageElements,
                                                       sizeof(Out) * (Block::kThreads / 32) * 16 *
                                                           static_cast<std::size_t>(kStagingRow<Out>));

  /// sums += a b over `stages` stages of depth from k on. While one stage is multiplied, the next are on their way.
  template <typename A, typename B>
  __device__ __forceinline__ static void accumulate(T* shared, A& a, B& b, int k, int stages, Sums& sums) {
    const auto prefetch = [&](int stage) {
      T* const tiles = shared + stage % kStages * kStageElements;
      a.load(tiles, k + stage * kStageDepth<T>, stage < stages);
      b.load(tiles + TileA::kElements, k + stage * kStageDepth<T>, stage < stages);
      cp_async_commit();
    };
#pragma unroll
    for (int stage = 0; stage < kStages - 1; ++stage) prefetch(stage);
    const Warp warp(Block::warp_m() * Block::kWarpM, Block::warp_n() * Block::kWarpN);
    for (int stage = 0; stage < stages; ++stage) {
      cp_async_wait<kStages - 2>();
      __syncthreads();  // the stage has come for all threads, and all are done with the one before it
      const T* const tiles = shared + stage % kStages * kStageElements;
#pragma unroll
      for (int depth = 0; depth < Warp::kDepth; depth += Warp::kStep) {
        warp.multiply(tiles, tiles + TileA::kElements, depth, sums);
        // Addresses are computed while the tensor cores are at the products before; the slot was read a stage ago.
        if (depth == 0) prefetch(stage + kStages - 1);
      }
    }
    cp_async_wait<0>();
    __syncthreads();  // the shared memory is free
  }

  /// Writes the sums as elements of Out, row by row in 16-byte accesses. row_begin(i) is where row i of the block's
  /// tile begins in memory, a null pointer where there is no such row; `columns` of it exist. Unless kCopy says that
  /// rows are whole vectors, `aligned` does.
  template <typename Out, Copy kCopy, typename RowBegin>
  __device__ static void store_sums(void* shared, const Sums& sums, int columns, bool aligned,
                                    const RowBegin& row_begin) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    Out* const staging = static_cast<Out*>(shared) + static_cast<int>(threadIdx.x) / 32 * 16 * kStagingRow<Out>;
    const int warp_columns = columns - Block::warp_n() * Block::kWarpN;
#pragma unroll
    for (int i = 0; i < Block::kTilesM; ++i) {
      __syncwarp();  // the rows before have been read
#pragma unroll
      for (int j = 0; j < Block::kTilesN; ++j) {
        Out* const pair = staging + lane / 4 * kStagingRow<Out> + j * 8 + lane % 4 * 2;
        store_pair(pair, sums[i][j][0], sums[i][j][1]);
        store_pair(pair + 8 * kStagingRow<Out>, sums[i][j][2], sums[i][j][3]);
      }
      __syncwarp();
      constexpr int kChunks = Block::kWarpN / kVector<Out>;
      static_assert(16 * kChunks % 32 == 0);
#pragma unroll
      for (int chunk = lane; chunk < 16 * kChunks; chunk += 32) {
        const int row = chunk / kChunks, column = chunk % kChunks * kVector<Out>;
        Out* const begin = row_begin(Block::warp_m() * Block::kWarpM + i * 16 + row);
        if (begin == nullptr) continue;
        Out* const to = begin + Block::warp_n() * Block::kWarpN + column;
        const Out* const from = staging + row * kStagingRow<Out> + column;
        if constexpr (kCopy == Copy::kVector) {
          if (column < warp_columns) store_vector(to, load_vector<uint4>(from));
        } else {
          store_chunk(to, from, warp_columns - column, aligned);
        }
      }
    }
  }

 private:
  /// Sixteen bytes, or the first `columns` elements of them.
  template <typename Out>
  __device__ __forceinline__ static void store_chunk(Out* to, const Out* from, int columns, bool aligned) {
    if (aligned && columns >= kVector<Out>) {
      store_vector(to, load_vector<uint4>(from));
    } else {
#pragma unroll 1
      for (int e = 0; e < min(columns, kVector<Out>); ++e) to[e] = from[e];
    }
  }

  __device__ __forceinline__ static void store_pair(float* to, float first, float second) {
    store_vector(to, make_float2(first, second));
  }
  __device__ __forceinline__ static void store_pair(bf16* to, float first, float second) {
    store_vector(to, pack_bf16(first, second));
  }
};

}  // namespace gradamp::GRADAMP_GPU
