// SPDX-License-Identifier: MIT
// The parts that the three convolution kernels share: the block's tile, the main loop with its pipeline, and the
// epilogue that stores the accumulators. README.md in this folder has the numbers behind the constants.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_source.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/tile.h"

namespace gradamp::GRADAMP_GPU {

/// The CTA tile: a block of four warps computes kM x kN sums. Its warps are a grid of kWarpsM x kWarpsN.
template <int kM_, int kN_, int kWarpsM_>
struct BlockTile : WholeBlock<128> {
  static constexpr int kM = kM_, kN = kN_;
  static constexpr int kWarpsM = kWarpsM_, kWarpsN = BlockTile::kThreads / 32 / kWarpsM;
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN;
  static constexpr int kTilesM = kWarpM / 16, kTilesN = kWarpN / 8;

  __device__ static int warp_m() { return static_cast<int>(threadIdx.x) / 32 % kWarpsM; }
  __device__ static int warp_n() { return static_cast<int>(threadIdx.x) / 32 / kWarpsM; }
};

/// Minimum number of blocks whose registers fit a multiprocessor: three of the narrower tiles, so that one block's math
/// hides another block's loads. Copies of single elements need more registers.
template <Precision kPrecision, typename Block, Copy kCopy>
constexpr int resident_blocks() {
  const bool narrow = Block::kM * Block::kN <= 128 * 64;
  return narrow && kPrecision != Precision::kF32 && kCopy == Copy::kVector ? 3 : 2;
}

/// Depth of a pipeline stage: 64 bytes of an operand's row.
template <typename T>
inline constexpr int kStageDepth = 64 / static_cast<int>(sizeof(T));
inline constexpr int kStages = 4;

/// An operand's tile in a stage, for an extent of m or n.
template <typename T, Major kMajor, int kExtent>
using OperandTile =
    SharedTile<T, kMajor == Major::kK ? kExtent : kStageDepth<T>, kMajor == Major::kK ? kStageDepth<T> : kExtent>;

/// Calls body(BlockTile) with the tile for a result of rows x columns: the widest of 128, 64 and 32 columns that gives
/// every multiprocessor of a large device a block. It depends on the shape alone: the same bits on every device.
template <Precision kPrecision, typename Body>
void with_tile_width(int rows, int columns, const Body& body) {
  constexpr int kTargetBlocks = 112;  // most multiprocessors get one: wide tiles read less, narrow ones spread more
  const auto suits = [&](int width) {
    const int blocks = (rows + 127) / 128 * ((columns + width - 1) / width);
    return columns > width / 2 && blocks >= kTargetBlocks;
  };
  if constexpr (kPrecision != Precision::kF32) {  // by FMA, its accumulators and operands would not fit the registers
    if (suits(128)) return body(BlockTile<128, 128, 2>{});
  }
  if (suits(64)) return body(BlockTile<128, 64, 2>{});
  return body(BlockTile<128, 32, 4>{});
}

/// The im2col matrix of a convolution's input x.
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

/// first + second, rounded to elements of Out.
template <typename Out>
__device__ __forceinline__ uint4 sum_of_chunks(const uint4& first, const uint4& second) {
  float sum[kVector<Out>], other[kVector<Out>];
  unpack<Out>(first, sum);
  unpack<Out>(second, other);
#pragma unroll
  for (int e = 0; e < kVector<Out>; ++e) sum[e] += other[e];
  return pack<Out>(sum);
}

/// The product of two operands by a block: types, main loop and epilogue.
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
  /// Row length of the epilogue's staging tile: 16 bytes are added, so that a column's rows are in different banks.
  template <typename Out>
  static constexpr int kStagingRow = Block::kWarpN + kVector<Out>;
  /// Dynamic shared memory: the stages, then in the same memory the epilogue's staging tiles, of elements of Out.
  template <typename Out>
  static constexpr std::size_t kSharedBytes = std::max(sizeof(T) * kStages * kStageElements,
                                                       sizeof(Out) * (Block::kThreads / 32) * 16 *
                                                           static_cast<std::size_t>(kStagingRow<Out>));

  /// The same for an epilogue that stages all sums at once (stage_sums).
  template <typename Out>
  static constexpr std::size_t kSharedBytesForAll = std::max(kSharedBytes<T>,
                                                             sizeof(Out) * Block::kThreads / 32 * Block::kWarpM *
                                                                 static_cast<std::size_t>(kStagingRow<Out>));

  /// The main loop: sums += a b over `stages` stages of depth, beginning at k. The stages are a ring of kStages slots:
  /// while one stage is multiplied, the copies of the next kStages - 1 are in flight. A column is a step of the loop:
  ///
  ///     step     start   0       1       2       3       4       5
  ///     slot 0   copy 0  mma 0   copy 4  ..      ..      mma 4   copy 8
  ///     slot 1   copy 1  ..      mma 1   copy 5  ..      ..      mma 5
  ///     slot 2   copy 2  ..      ..      mma 2   copy 6  ..      ..
  ///     slot 3           copy 3  ..      ..      mma 3   copy 7  ..
  ///
  /// copy s: the copies of stage s start; ..: they are in flight; mma s: the block waits for stage s, passes a barrier
  /// and multiplies it. One barrier per step is enough: the copies that start in step s overwrite the slot that was
  /// multiplied in step s - 1, and no thread passes the barrier of step s before all have finished that.
  template <typename A, typename B>
  __device__ __forceinline__ static void accumulate(T* shared, A& a, B& b, int k, int stages, Sums& sums) {
    const auto prefetch = [&](int stage) {
      T* const tiles = shared + stage % kStages * kStageElements;
      a.load(tiles, k + stage * kStageDepth<T>, stage < stages);
      b.load(tiles + TileA::kElements, k + stage * kStageDepth<T>, stage < stages);
      cp_async_commit();
    };
    // Waits for a stage. Afterwards its copies are visible to all threads, and all have read the previous stage.
    const auto wait = [] {
      cp_async_wait<kStages - 2>();
      __syncthreads();
    };
#pragma unroll
    for (int stage = 0; stage < kStages - 1; ++stage) prefetch(stage);
    const Warp warp(Block::warp_m() * Block::kWarpM, Block::warp_n() * Block::kWarpN);
    if constexpr (kLoadsAhead) {
      accumulate_ahead(shared, warp, stages, prefetch, wait, sums);
    } else {
      for (int stage = 0; stage < stages; ++stage) {
        wait();
        const T* const tiles = shared + stage % kStages * kStageElements;
#pragma unroll
        for (int depth = 0; depth < Warp::kDepth; depth += Warp::kStep) {
          warp.multiply(tiles, tiles + TileA::kElements, depth, sums);
          if (depth == 0) prefetch(stage + kStages - 1);  // address arithmetic overlaps the MMAs
        }
      }
    }
    cp_async_wait<0>();
    __syncthreads();  // the epilogue may overwrite the shared memory
  }

  /// For epilogues of their own: the warp's sums as elements of Out in its part of `shared`, in rows of kStagingRow.
  /// `thread`: the index of the calling one. Returns the first row.
  template <typename Out>
  __device__ __forceinline__ static const Out* stage_sums(void* shared, const Sums& sums, int thread) {
    Out* const staging = static_cast<Out*>(shared) + thread / 32 * Block::kWarpM * kStagingRow<Out>;
#pragma unroll
    for (int i = 0; i < Block::kTilesM; ++i) store_tiles(staging + i * 16 * kStagingRow<Out>, sums[i], thread % 32);
    __syncwarp();
    return staging;
  }

  /// The epilogue: stores the accumulators as elements of Out, row by row in 16-byte accesses. row_begin(i) is the
  /// address of row i of the block's tile, or null if there is no such row; `columns` of it exist. `aligned` says
  /// whether rows are whole vectors; for Copy::kVector they always are. With Update::kAdd they are added.
  template <typename Out, Copy kCopy, typename RowBegin>
  __device__ static void store_sums(void* shared, const Sums& sums, int columns, bool aligned,
                                    const RowBegin& row_begin, Update update = Update::kStore) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    Out* const staging = static_cast<Out*>(shared) + static_cast<int>(threadIdx.x) / 32 * 16 * kStagingRow<Out>;
    const int warp_columns = columns - Block::warp_n() * Block::kWarpN;
#pragma unroll
    for (int i = 0; i < Block::kTilesM; ++i) {
      constexpr int kChunks = Block::kWarpN / kVector<Out>, kOwn = 16 * kChunks / 32;
      static_assert(16 * kChunks % 32 == 0 && 32 % kChunks == 0);
      const auto row_of = [&](int own) { return (own * 32 + lane) / kChunks; };
      const int column = lane % kChunks * kVector<Out>;
      // Where this lane's 16-byte chunks go; null: nowhere.
      const auto target = [&](int own) {
        Out* const begin = row_begin(Block::warp_m() * Block::kWarpM + i * 16 + row_of(own));
        return begin && column < warp_columns ? begin + Block::warp_n() * Block::kWarpN + column : nullptr;
      };
      Out* to[kOwn];
      uint4 there[kOwn];
      if constexpr (kCopy == Copy::kVector) {
#pragma unroll
        for (int own = 0; own < kOwn; ++own) {
          to[own] = target(own);
          if (update == Update::kAdd && to[own]) there[own] = load_vector<uint4>(to[own]);
        }
      }
      __syncwarp();  // the previous rows have been read
      store_tiles(staging, sums[i], lane);
      __syncwarp();
#pragma unroll
      for (int own = 0; own < kOwn; ++own) {
        const Out* const from = staging + row_of(own) * kStagingRow<Out> + column;
        if constexpr (kCopy == Copy::kVector) {
          if (to[own] == nullptr) continue;
          const auto chunk = load_vector<uint4>(from);
          store_vector(to[own], update == Update::kAdd ? sum_of_chunks<Out>(there[own], chunk) : chunk);
        } else if (Out* const at = target(own)) {
          store_chunk(at, from, warp_columns - column, aligned, update);
        }
      }
    }
  }

 private:
  /// Whether a step's operands are loaded into registers while the step before is multiplied. f32 and tf32 have twice
  /// as many bytes of operands, for which there are not enough registers in every tile. The forward's narrow tiles
  /// (only there is b K-major) have three resident blocks that hide each other's latency: measured on an H100, they
  /// were 6% slower this way.
  static constexpr bool kLoadsAhead =
      kPrecision == Precision::kBF16 && !(kMajorB == Major::kK && Block::kM * Block::kN <= 128 * 64);

  /// The main loop where kLoadsAhead. A stage has two steps of depth. While the tensor cores multiply the second, the
  /// block waits for the next stage and loads its first. The last load is of a slot whose copies were left out; its
  /// values are not used.
  template <typename Prefetch, typename Wait>
  __device__ __forceinline__ static void accumulate_ahead(const T* shared, const Warp& warp, int stages,
                                                          const Prefetch& prefetch, const Wait& wait, Sums& sums) {
    static_assert(Warp::kDepth == 2 * Warp::kStep);
    typename Warp::Fragments first, second;
    wait();
    const T* tiles = shared;
    warp.load_fragments(tiles, tiles + TileA::kElements, 0, first);
    for (int stage = 0; stage < stages; ++stage) {
      warp.load_fragments(tiles, tiles + TileA::kElements, Warp::kStep, second);
      Warp::multiply(first, sums);
      prefetch(stage + kStages - 1);  // address arithmetic overlaps the MMAs
      wait();
      tiles = shared + (stage + 1) % kStages * kStageElements;
      warp.load_fragments(tiles, tiles + TileA::kElements, 0, first);
      Warp::multiply(second, sums);
    }
  }

  /// Stores 16 rows of the warp's sums.
  template <typename Out>
  __device__ __forceinline__ static void store_tiles(Out* staging, const float (&sums)[Block::kTilesN][4], int lane) {
#pragma unroll
    for (int j = 0; j < Block::kTilesN; ++j) {
      Out* const pair = staging + lane / 4 * kStagingRow<Out> + j * 8 + lane % 4 * 2;
      store_pair(pair, sums[j][0], sums[j][1]);
      store_pair(pair + 8 * kStagingRow<Out>, sums[j][2], sums[j][3]);
    }
  }

  /// Stores 16 bytes, or only their first `columns` elements.
  template <typename Out>
  __device__ __forceinline__ static void store_chunk(Out* to, const Out* from, int columns, bool aligned,
                                                     Update update) {
    if (aligned && columns >= kVector<Out> && update == Update::kStore) {
      store_vector(to, load_vector<uint4>(from));
    } else {
#pragma unroll 1
      for (int e = 0; e < min(columns, kVector<Out>); ++e)
        to[e] = update == Update::kStore ? from[e] : from_float<Out>(to_float(to[e]) + to_float(from[e]));
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
