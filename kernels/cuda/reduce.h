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

/// Returns true, to all threads, in the last of `blocks` blocks that calls it. That block can read what the other
/// blocks wrote to global memory before their calls, with __ldcg. It reads in a fixed order, so the bits do not depend
/// on which block is last. `counter`, the completion counter, is 0 before the launch and 0 again after it.
__device__ __forceinline__ bool is_last_block(unsigned* counter, unsigned blocks) {
  __threadfence();  // this thread's writes become visible before the counter changes
  __syncthreads();
  const bool is_last = __syncthreads_or(threadIdx.x == 0 && atomicInc(counter, blocks - 1) == blocks - 1);
  if (is_last) __threadfence();
  return is_last;
}

}  // namespace gradamp::GRADAMP_GPU
