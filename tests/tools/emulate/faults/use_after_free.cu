// SPDX-License-Identifier: MIT
// reported: "kernel launched at use_after_free.cu:LINE: .* is 0 bytes into an allocation of 128 that was freed"
#include <cuda_runtime.h>
__global__ void fill(int* x) { x[threadIdx.x] = 1; }
int main() {
  int* x;
  cudaMalloc(&x, 32 * sizeof(int));
  cudaFree(x);
  fill<<<1, 32>>>(x);  // FAULT
  return cudaDeviceSynchronize() != cudaSuccess;
}
