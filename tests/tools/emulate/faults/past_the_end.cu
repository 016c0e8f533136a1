// SPDX-License-Identifier: MIT
// reported: "thread .104,0,0.: access to 0 bytes past the end of an allocation of 4000, at past_the_end.cu:LINE"
#include <cuda_runtime.h>
// The last block has no bound.
__global__ void fill(float* x) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  x[i] = 1.0f;  // FAULT
}
int main() {
  float* x;
  cudaMalloc(&x, 1000 * sizeof(float));
  fill<<<8, 128>>>(x);
  return cudaDeviceSynchronize() != cudaSuccess;
}
