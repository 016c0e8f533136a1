// SPDX-License-Identifier: MIT
// A launch whose block size the occupancy functions choose, and a question about a kernel with much shared memory.
#include "check.h"

__global__ void square(int* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= x[i];
}

__global__ void with_shared(int* x) {
  extern __shared__ int buffer[];
  buffer[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = buffer[blockDim.x - 1 - threadIdx.x];
}

int main() {
  const int n = 3000;
  static int x[n];
  int *device, block_size = 0, min_grid = 0, blocks = 0;
  for (int i = 0; i < n; ++i) x[i] = i;
  CHECK(cudaOccupancyMaxPotentialBlockSize(&min_grid, &block_size, square, 0, 0));
  if (block_size < 32 || block_size > 1024 || min_grid < 1) return 4;
  CHECK(cudaMalloc(&device, sizeof x));
  CHECK(cudaMemcpy(device, x, sizeof x, cudaMemcpyHostToDevice));
  square<<<(n + block_size - 1) / block_size, block_size>>>(device, n);
  CHECK(cudaMemcpy(x, device, sizeof x, cudaMemcpyDeviceToHost));
  for (int i = 0; i < n; ++i) expect_near(x[i], i * i, 0, "square", i);

  const int bytes = 100 * 1024;
  CHECK(cudaFuncSetAttribute(with_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, with_shared, 256, bytes));
  expect_near(blocks, 2, 0, "blocks by shared memory", 0);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, with_shared, 256, 0));
  expect_near(blocks, 8, 0, "blocks by threads", 0);
  with_shared<<<1, 256, bytes>>>(device);
  CHECK(cudaDeviceSynchronize());
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  expect_near(properties.warpSize, 32, 0, "warp size", 0);
}
