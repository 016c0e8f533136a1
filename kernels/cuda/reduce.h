// SPDX-License-Identifier: MIT
// Sums over warps, blocks and grids in a fixed order, so that the bits are the same every time.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

inline constexpr unsigned kAllLanes = 0xffffffffu;

/// Returns the sum over the warp to every lane. T: float or double.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

/// Computes N sums over a block of kThreads; every thread gets them. All threads must call it.
template <int kThreads, int N, typename T>
__device__ __forceinline__ void block_sum(T (&values)[N]) {
  static_assert(kThreads % 32 == 0);
  SHARED(partial, T[N][kThreads / 32]);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    values[i] = warp_sum(values[i]);
    if (threadIdx.x % 32 == 0) partial[i][threadIdx.x / 32] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < N; ++i) {
    T sum = 0;
    for (int warp = 0; warp < kThreads / 32; ++warp) sum += partial[i][warp];
    values[i] = sum;
  }
  __syncthreads();  // `partial` may be overwritten now
}

/// A block all of whose threads take part in what follows. Blocks of which a warp only loads have a type of their own
/// (HopperTile).
template <int kCount>
struct WholeBlock {
  static constexpr int kThreads = kCount;

  __device__ __forceinline__ static void sync() { __syncthreads(); }
  /// The first thread's value, to all of them. `shared`: an int, which they do not use.
  __device__ __forceinline__ static bool from_first(bool value, int* /*shared*/) {
    return __syncthreads_or(threadIdx.x == 0 && value);
  }
};

/// The two halves of is_last_block(). Between them a block can do other work, while the counter is on its way:
/// take_ticket() orders the writes before it, and learn_ticket() returns what is_last_block() does.
template <typename Block>
__device__ __forceinline__ bool take_ticket(unsigned* counter, unsigned blocks) {
  __threadfence();  // this thread's writes become visible before the counter changes
  Block::sync();
  return threadIdx.x == 0 && atomicInc(counter, blocks - 1) == blocks - 1;
}
template <typename Block>
__device__ __forceinline__ bool learn_ticket(bool ticket, int* shared) {
  const bool is_last = Block::from_first(ticket, shared);
  if (is_last) __threadfence();
  return is_last;
}

/// Returns true, to all threads of Block, in the last of `blocks` blocks that calls it. That block can read what the
/// other blocks wrote to global memory before their calls, with __ldcg. It reads in a fixed order, so the bits do not
/// depend on which block is last. `counter`, the completion counter, is 0 before the launch and 0 again after it.
/// `shared`: an int that no thread uses.
template <typename Block>
__device__ __forceinline__ bool is_last_block(unsigned* counter, unsigned blocks, int* shared) {
  return learn_ticket<Block>(take_ticket<Block>(counter, blocks), shared);
}
/// The same for all threads of a block.
__device__ __forceinline__ bool is_last_block(unsigned* counter, unsigned blocks) {
  return is_last_block<WholeBlock<0>>(counter, blocks, nullptr);
}

}  // namespace gradamp::GRADAMP_GPU
