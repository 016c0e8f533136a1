// SPDX-License-Identifier: MIT
// reported: "access of 16 bytes at misaligned.cu:LINE: the address .* is not a multiple of that"
#include <cuda_runtime.h>
// A float4 at an address that is a multiple of 4 alone.
__global__ void load(const float* x, float4* y) {
  y[threadIdx.x] = __ldg(reinterpret_cast<const float4*>(x + 1));  // FAULT
}
int main() {
  float* x;
  float4* y;
  cudaMalloc(&x, 64 * sizeof(float));
  cudaMalloc(&y, 32 * sizeof(float4));
  cudaMemset(x, 0, 64 * sizeof(float));
  load<<<1, 1>>>(x, y);
  return cudaDeviceSynchronize() != cudaSuccess;
}
