// SPDX-License-Identifier: MIT
// Bitonic sort of a block in shared memory that is declared outside of the kernel, and a macro that launches.
#include "check.h"

#define LAUNCH(kernel, blocks, threads, bytes, ...) \
  kernel<<<blocks, threads, bytes>>>(__VA_ARGS__);  \
  CHECK(cudaGetLastError())

extern __shared__ int keys[];

__device__ __noinline__ void order(int& a, int& b, bool ascending) {
  if ((a > b) == ascending) {
    const int old = a;
    a = b;
    b = old;
  }
}

__global__ void sort(int* x) {
  const int t = threadIdx.x;
  keys[t] = x[t];
  for (int size = 2; size <= blockDim.x; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      const int other = t ^ stride;
      if (other > t) order(keys[t], keys[other], (t & size) == 0);
    }
  __syncthreads();
  x[t] = keys[t];
}

int main() {
  const int n = 256;
  int x[n], counts[64] = {}, *device;
  for (int i = 0; i < n; ++i) ++counts[x[i] = i * 7919 % 61];
  CHECK(cudaMalloc(&device, sizeof x));
  CHECK(cudaMemcpy(device, x, sizeof x, cudaMemcpyHostToDevice));
  LAUNCH(sort, 1, n, n * sizeof(int), device);
  CHECK(cudaMemcpy(x, device, sizeof x, cudaMemcpyDeviceToHost));
  int i = 0;
  for (int value = 0; value < 64; ++value)
    for (int j = 0; j < counts[value]; ++j, ++i) expect_near(x[i], value, 0, "sorted", i);
}
