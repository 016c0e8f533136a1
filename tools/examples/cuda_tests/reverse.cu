// SPDX-License-Identifier: MIT
#include "reverse.h"

#include <cuda_runtime.h>

constexpr int kThreads = 128;

// A block turns kThreads elements around in shared memory, so that it reads and writes consecutive addresses.
__global__ void reverse_kernel(const float* in, float* out, int n) {
  __shared__ float tile[kThreads];
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < n) tile[threadIdx.x] = in[i];
  __syncthreads();
  const int first = n - (blockIdx.x + 1) * kThreads;  // of this block's part of `out`; negative in the last block
  const int source = kThreads - 1 - threadIdx.x, target = first + threadIdx.x;
  if (target >= 0) out[target] = tile[source];
}

void reverse(const float* in, float* out, int n) {
  reverse_kernel<<<(n + kThreads - 1) / kThreads, kThreads>>>(in, out, n);
}
