// SPDX-License-Identifier: MIT
// The counterpart of convolution_tile.h for compute capability 9.0 (sm_90a): one warp loads by TMA, warpgroups multiply
// by wgmma. The accumulators are in the same registers as mma.sync's, and leave through the same epilogues.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/divisor.h"
#include "gradamp/kernels/cuda/ptx_hopper.h"
#include "gradamp/kernels/cuda/tensor_map.h"

namespace gradamp::GRADAMP_GPU {

/// The CTA tile: kM / 64 warpgroups of four warps multiply, and one more warp loads. After the product only those that
/// multiplied go on, so barriers and tickets (see WholeBlock) are among them.
template <int kM_, int kN_>
struct HopperTile {
  static constexpr int kM = kM_, kN = kN_;
  static constexpr int kThreads = kM * 2;               // that multiply
  static constexpr int kLaunchThreads = kThreads + 32;  // and the loading warp, the last one
  static constexpr int kWarpsM = kThreads / 32, kWarpsN = 1;
  static constexpr int kWarpM = 16, kWarpN = kN;
  static constexpr int kTilesM = 1, kTilesN = kN / 8;
  /// Blocks on a multiprocessor, by shared memory and registers.
  static constexpr int kResidentBlocks = kM * kN <= 128 * 64 ? 2 : 1;

  __device__ static int warp_m() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int warp_n() { return 0; }
  __device__ __forceinline__ static void sync() { named_barrier(1, kThreads); }
  __device__ __forceinline__ static bool from_first(bool value, int* shared) {
    sync();  // the memory may have been used until now
    if (threadIdx.x == 0) *shared = value;
    sync();
    const bool result = *shared != 0;
    sync();  // the memory may be used now
    return result;
  }
};

/// The product of two operands by a block.
///
/// A stage of the pipeline has a depth of 64. In shared memory an operand is made of boxes of 64 rows of 128 bytes,
/// swizzled (ptx_hopper.h, operand_descriptor):
///     Major::kK    a row is an index of m (or n), and has 64 depths
///     Major::kMN   a row is a depth, and has 64 indices of m (or n)
/// Either way 64 indices of m (or n) take kBoxBytes, and a warpgroup's part of a begins at kBoxBytes times its number.
template <typename Block, Major kMajorA, Major kMajorB>
struct HopperProduct {
  static constexpr int kDepth = 64, kSlots = 4;
  static constexpr int kBoxBytes = 64 * 128;
  static constexpr int kBytesA = Block::kM * 128, kBytesB = Block::kN * 128, kStageBytes = kBytesA + kBytesB;
  using Store = BlockProduct<Precision::kBF16, Block, Major::kK, Major::kK>;  // for its epilogues
  using Sums = typename Store::Sums;

  /// Dynamic shared memory: the stages, where the epilogue's staging tiles are afterwards, then the barriers.
  static constexpr std::size_t kSharedBytes = std::size_t{kSlots} * kStageBytes + 2 * kSlots * sizeof(std::uint64_t);
  static_assert(sizeof(float) * Block::kM * (Block::kN + 8) <= std::size_t{kSlots} * kStageBytes);

  /// sums = a b over `stages` stages. load(stage, a, b, barrier) starts the loads of one, whose bytes are counted by
  /// `barrier`. All of the block's threads call it. Returns false in the warp that loads, which has no sums.
  ///
  /// The stages are a ring of kSlots slots. Each has two mbarriers. `full` completes a phase when a stage's bytes have
  /// come, `empty` when all warps that multiply have read them. A column is a step of the loop:
  ///
  ///     step     start   0       1       2       3       4
  ///     slot 0   load 0  mma 0   read 0  load 4  ..      mma 4
  ///     slot 1   load 1  ..      mma 1   read 1  load 5  ..
  ///     slot 2   load 2  ..      ..      mma 2   read 2  load 6
  ///     slot 3   load 3  ..      ..      ..      mma 3   read 3
  ///
  /// mma s: the warpgroups wait for `full` and issue the products of stage s; read s: those products have ended, since
  /// at most one group of products is left running, so the warps arrive at `empty`, for which the loading warp waits.
  template <typename Load>
  __device__ __forceinline__ static bool accumulate(char* shared, int stages, Sums& sums, const Load& load) {
    auto* const full = reinterpret_cast<std::uint64_t*>(shared + kSlots * kStageBytes);
    std::uint64_t* const empty = full + kSlots;
    if (threadIdx.x == 0) {
      for (int slot = 0; slot < kSlots; ++slot) {
        mbarrier_init(full + slot, 1);
        mbarrier_init(empty + slot, Block::kThreads / 32);
      }
      fence_mbarrier_init();
    }
    __syncthreads();
    if (static_cast<int>(threadIdx.x) >= Block::kThreads) {
      if (elect_lane()) load_all(shared, full, empty, stages, load);
      return false;
    }
    multiply_all(shared, full, empty, stages, sums);
    Block::sync();  // the epilogue may overwrite the stages
    return true;
  }

 private:
  /// The next slot of the ring; `phase`: the parity of the phase of its barriers.
  __device__ __forceinline__ static void advance(int& slot, std::uint32_t& phase) {
    if (++slot < kSlots) return;
    slot = 0;
    phase ^= 1;
  }

  template <typename Load>
  __device__ __forceinline__ static void load_all(char* shared, std::uint64_t* full, std::uint64_t* empty, int stages,
                                                  const Load& load) {
    int slot = 0;
    std::uint32_t phase = 0;
    for (int stage = 0; stage < stages; ++stage) {
      mbarrier_wait(empty + slot, phase ^ 1);  // in the first round it is at once true
      mbarrier_arrive_expect(full + slot, static_cast<std::uint32_t>(kStageBytes));
      char* const a = shared + slot * kStageBytes;
      load(stage, a, a + kBytesA, full + slot);
      advance(slot, phase);
    }
  }

  __device__ __forceinline__ static void multiply_all(char* shared, std::uint64_t* full, std::uint64_t* empty,
                                                      int stages, Sums& sums) {
    // Descriptors count 16 bytes. A step of 16 depths is 32 bytes along the rows, or 16 rows.
    constexpr std::uint64_t kStepA = (kMajorA == Major::kK ? 32 : 16 * 128) / 16;
    constexpr std::uint64_t kStepB = (kMajorB == Major::kK ? 32 : 16 * 128) / 16;
    constexpr std::uint64_t kStepSlot = kStageBytes / 16;
    const int warpgroup = static_cast<int>(threadIdx.x) / 128;
    const std::uint64_t first_a = operand_descriptor(shared + warpgroup * kBoxBytes, kBoxBytes);
    const std::uint64_t first_b = operand_descriptor(shared + kBytesA, kBoxBytes);
    int slot = 0, previous = 0;
    std::uint32_t phase = 0;
    for (int stage = 0; stage < stages; ++stage) {
      mbarrier_wait(full + slot, phase);
      const std::uint64_t a = first_a + static_cast<unsigned>(slot) * kStepSlot;
      const std::uint64_t b = first_b + static_cast<unsigned>(slot) * kStepSlot;
      hold_registers(sums[0]);
      wgmma_fence();
#pragma unroll
      for (unsigned step = 0; step < kDepth / 16; ++step) {
        wgmma_bf16<Block::kN, kMajorA == Major::kMN, kMajorB == Major::kMN>(sums[0], a + step * kStepA,
                                                                            b + step * kStepB, true);
      }
      wgmma_commit();
      wgmma_wait<1>();  // the products of the previous stage have ended
      if (stage > 0 && threadIdx.x % 32 == 0) mbarrier_arrive(empty + previous);
      previous = slot;
      advance(slot, phase);
    }
    wgmma_wait<0>();
    hold_registers(sums[0]);
  }
};

/// The windows of an image tensor, in the order of the rows of its im2col matrix: where TMA begins to read for a row.
struct WindowWalk {
  Divisor by_windows_of_image, by_windows_of_row;
  int step, lower_h, lower_w;

  struct Window {
    int image, i, j;
  };
  __device__ __forceinline__ Window window(int row) const {
    const auto [image, rest] = by_windows_of_image.divide(row);
    const auto [i, j] = by_windows_of_row.divide(rest);
    return {image, i, j};
  }

  struct Place {
    int image, h, w;
  };
  __device__ __forceinline__ Place place(int row) const {
    const Window at = window(row);
    return {at.image, at.i * step + lower_h, at.j * step + lower_w};
  }
};

/// The depth of an im2col matrix in pieces of 64 channels of a tap; the pieces of a tap come one after another.
struct TapPieces {
  static constexpr int kChannels = 64;
  int count = 1;  // of a tap
  Divisor by_pieces, by_taps_of_row;

  TapPieces() = default;
  __host__ TapPieces(int channels, int taps_of_row)
      : count((channels + kChannels - 1) / kChannels), by_pieces(count), by_taps_of_row(std::max(1, taps_of_row)) {}

  struct Place {
    int r, s, channel;
  };
  __device__ __forceinline__ Place place(int piece) const {
    const auto [tap, rest] = by_pieces.divide(piece);
    const auto [r, s] = by_taps_of_row.divide(tap);
    return {r, s, rest * kChannels};
  }
};

/// The windows of a convolution's input, and the map that reads them in boxes of `windows` windows.
inline WindowWalk walk_of_input(const ConvolutionShape& shape) {
  return {Divisor(shape.out_height * shape.out_width), Divisor(shape.out_width), shape.stride, -shape.padding,
          -shape.padding};
}
inline TensorMap map_of_input(const ConvolutionShape& shape, const void* x, int windows) {
  return im2col_map(x, {.batch = shape.batch,
                        .height = shape.height,
                        .width = shape.width,
                        .channels = shape.in_channels,
                        .stride = shape.stride,
                        .lower_h = -shape.padding,
                        .lower_w = -shape.padding,
                        .upper_h = shape.padding - (shape.kernel_h - 1),
                        .upper_w = shape.padding - (shape.kernel_w - 1),
                        .pixels = windows});
}

}  // namespace gradamp::GRADAMP_GPU
