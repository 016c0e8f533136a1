// SPDX-License-Identifier: MIT
// Atomic operations on integers and floating point, a lock-free maximum of floats by atomicCAS, and the last block's
// turn (__threadfence).
#include "check.h"

__device__ unsigned finished;

__device__ float atomic_max(float* address, float value) {
  int* bits = (int*)address;
  int old = *(volatile int*)bits, assumed;  // volatile: others change it at the same time
  do {
    assumed = old;
    old = atomicCAS(bits, assumed, __float_as_int(fmaxf(value, __int_as_float(assumed))));
  } while (assumed != old);
  return __int_as_float(old);
}

struct Results {
  int sum, least, most, bits_or, bits_and, bits_xor;
  unsigned long long long_sum;
  double double_sum;
  float float_max;
  unsigned wrapped, last_block_sum;
};

__global__ void run(const int* x, int n, Results* results, unsigned* per_block) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    atomicAdd(&results->sum, x[i]);
    atomicMin(&results->least, x[i]);
    atomicMax(&results->most, x[i]);
    atomicOr(&results->bits_or, 1 << i % 20);
    atomicAnd(&results->bits_and, ~(1 << i % 3));
    atomicXor(&results->bits_xor, i);
    atomicAdd(&results->long_sum, 1ull << 33);
    atomicAdd(&results->double_sum, 0.5);
    atomic_max(&results->float_max, 0.25f * x[i]);
    atomicInc(&results->wrapped, 6);
    atomicAdd(&per_block[blockIdx.x], 1u);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    if (atomicAdd(&finished, 1u) == gridDim.x - 1) {
      __threadfence();
      unsigned total = 0;
      for (int block = 0; block < gridDim.x; ++block) total += ((volatile unsigned*)per_block)[block];
      results->last_block_sum = total;
    }
  }
}

int main() {
  const int n = 300;
  int x[n], *d_x, sum = 0, bits_xor = 0;
  for (int i = 0; i < n; ++i) sum += x[i] = i * 37 % 101 - 50, bits_xor ^= i;
  Results results = {}, *d_results;
  unsigned* per_block;
  results.bits_and = -1;
  CHECK(cudaMalloc(&d_x, sizeof x));
  CHECK(cudaMalloc(&d_results, sizeof results));
  CHECK(cudaMalloc(&per_block, 3 * sizeof(unsigned)));
  CHECK(cudaMemset(per_block, 0, 3 * sizeof(unsigned)));
  CHECK(cudaMemcpy(d_x, x, sizeof x, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(d_results, &results, sizeof results, cudaMemcpyHostToDevice));
  run<<<3, 128>>>(d_x, n, d_results, per_block);
  CHECK(cudaMemcpy(&results, d_results, sizeof results, cudaMemcpyDeviceToHost));
  expect_near(results.sum, sum, 0, "sum", 0);
  expect_near(results.least, -50, 0, "least", 0);
  expect_near(results.most, 50, 0, "most", 0);
  expect_near(results.bits_or, (1 << 20) - 1, 0, "or", 0);
  expect_near(results.bits_and, -8, 0, "and", 0);
  expect_near(results.bits_xor, bits_xor, 0, "xor", 0);
  expect_near((double)results.long_sum, 300.0 * 8589934592.0, 0, "long sum", 0);
  expect_near(results.double_sum, 150, 0, "double sum", 0);
  expect_near(results.float_max, 12.5, 0, "float max", 0);
  expect_near(results.wrapped, 300 % 7, 0, "wrapped", 0);
  expect_near(results.last_block_sum, n, 0, "last block", 0);
}
