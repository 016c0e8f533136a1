// SPDX-License-Identifier: MIT
// needs --race: a counter that nobody has set to zero.
// reported: "thread .* at uninitialized.cu:LINE reads device memory that nothing has written"
#include <cuda_runtime.h>
__global__ void count(const int* x, int* even) {
  if (x[threadIdx.x] % 2 == 0) atomicAdd(even, 1);  // FAULT
}
int main() {
  int *x, *even;
  cudaMalloc(&x, 64 * sizeof(int));
  cudaMalloc(&even, sizeof(int));
  cudaMemset(x, 0, 64 * sizeof(int));
  count<<<1, 64>>>(x, even);
  return cudaDeviceSynchronize() != cudaSuccess;
}
