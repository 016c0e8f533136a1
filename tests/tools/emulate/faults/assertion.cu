// SPDX-License-Identifier: MIT
// reported: "block .1,0,0.: thread .8,0,0.: assert.i < n. failed at assertion.cu:LINE"
#include <cuda_runtime.h>
#include <cassert>
__global__ void fill(int* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  assert(i < n);  // FAULT
  x[i] = i;
}
int main() {
  int* x;
  cudaMalloc(&x, 40 * sizeof(int));
  fill<<<2, 32>>>(x, 40);
  return cudaDeviceSynchronize() != cudaSuccess;
}
