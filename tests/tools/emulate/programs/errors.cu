// SPDX-License-Identifier: MIT
// Errors that a program handles: too much memory, a wrong size, a wrong direction; and a launch that works afterwards.
#include <cstring>

#include "check.h"

__global__ void fill(int* x, int value) { x[threadIdx.x] = value; }

int main() {
  int *x = nullptr, host[32];
  void* huge = nullptr;
  if (cudaMalloc(&huge, (size_t)1 << 45) != cudaErrorMemoryAllocation) return 4;
  if (std::strcmp(cudaGetErrorName(cudaGetLastError()), "cudaErrorMemoryAllocation") != 0) return 5;
  if (cudaGetLastError() != cudaSuccess) return 6;  // was cleared
  CHECK(cudaMalloc(&x, sizeof host));
  if (cudaMemcpy(host, x, sizeof host, cudaMemcpyHostToDevice) == cudaSuccess) return 7;  // the wrong way
  if (cudaMemcpy(x, host, 64 * sizeof(int), cudaMemcpyHostToDevice) != cudaErrorInvalidValue) return 8;
  if (cudaSetDevice(99) != cudaErrorInvalidDevice) return 9;
  cudaGetLastError();
  fill<<<1, 32>>>(x, 42);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(host, x, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 32; ++i) expect_near(host[i], 42, 0, "x", i);
  int count = 0;
  CHECK(cudaGetDeviceCount(&count));
  expect_near(count, 1, 0, "devices", 0);
}
