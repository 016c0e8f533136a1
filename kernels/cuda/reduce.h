// SPDX-License-Identifier: MIT
// Sums over warps, blocks and grids, always in one order, so that they are the same bits every time.
#pragma once

#include <cstdint>

#include "kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

inline constexpr unsigned kAllLanes = 0xffffffffu;

/// The sum over the warp, in every lane. T: float or double.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

/// N sums over a block of kThreads at once, in every thread. To be called by all of them.
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
  __syncthreads();  // before `partial` is written again
}

/// True, in all threads, in that one of `blocks` blocks that gets here last; what the others wrote to global memory
/// before is then complete and to be read with __ldcg. Whichever block it is, it reads them in the same order, so the
/// sum is the same bits. `counter` begins at 0 and is 0 again afterwards.
__device__ __forceinline__ bool is_last_block(unsigned* counter, unsigned blocks) {
  SHARED(is_last, bool);
  __threadfence();  // what this thread wrote is visible before the count
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicInc(counter, blocks - 1) == blocks - 1;
  __syncthreads();
  if (is_last) __threadfence();
  return is_last;
}

}  // namespace gradamp::GRADAMP_GPU
