// SPDX-License-Identifier: MIT
// reported: "came to __syncthreads at divergent_barrier.cu:LINE, but thread .0,0,0. waits in the one at"
#include <cuda_runtime.h>
__global__ void work(int* x) {
  __shared__ int tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x < 32) {
    __syncthreads();
    x[threadIdx.x] = tile[threadIdx.x + 32];
  } else {
    __syncthreads();  // FAULT
    x[threadIdx.x] = tile[threadIdx.x - 32];
  }
}
int main() {
  int* x;
  cudaMalloc(&x, 64 * sizeof(int));
  cudaMemset(x, 0, 64 * sizeof(int));
  work<<<1, 64>>>(x);
  return cudaDeviceSynchronize() != cudaSuccess;
}
