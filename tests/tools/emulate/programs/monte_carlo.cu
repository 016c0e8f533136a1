// SPDX-License-Identifier: MIT
// Pi by random points: a generator of random numbers per thread, __device__ variables and functions, 64-bit counts.
#include "check.h"

__device__ unsigned long long inside;

struct Random {
  unsigned state;
  __device__ explicit Random(unsigned seed) : state(seed * 2654435761u + 1) {}
  __device__ __forceinline__ float next() {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (state >> 8) * (1.0f / 16777216.0f);
  }
};

__global__ void __launch_bounds__(128) count(int points) {
  __shared__ unsigned in_block;
  if (threadIdx.x == 0) in_block = 0;
  __syncthreads();
  Random random(blockIdx.x * blockDim.x + threadIdx.x);
  unsigned own = 0;
  for (int i = 0; i < points; ++i) {
    const float x = random.next(), y = random.next();
    own += x * x + y * y <= 1.0f ? 1 : 0;
  }
  atomicAdd(&in_block, own);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(&inside, (unsigned long long)in_block);
}

int main() {
  const int blocks = 8, threads = 128, points = 200;
  unsigned long long zero = 0, result;
  CHECK(cudaMemcpyToSymbol(inside, &zero, sizeof zero));
  count<<<blocks, threads>>>(points);
  CHECK(cudaMemcpyFromSymbol(&result, inside, sizeof result));
  expect_near(4.0 * (double)result / (blocks * threads * points), 3.14159265, 0.02, "pi", 0);
}
