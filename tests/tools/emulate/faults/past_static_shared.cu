// SPDX-License-Identifier: MIT
// reported: "something was written just past the end of SHARED.tile. at past_static_shared.cu:LINE"
#include <cuda_runtime.h>
__global__ void shift(int* x) {
  __shared__ int tile[64];  // FAULT
  tile[threadIdx.x + 1] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = tile[threadIdx.x];
}
int main() {
  int* x;
  cudaMalloc(&x, 64 * sizeof(int));
  cudaMemset(x, 0, 64 * sizeof(int));
  shift<<<1, 64>>>(x);
  return cudaDeviceSynchronize() != cudaSuccess;
}
