// SPDX-License-Identifier: MIT
// reported: "thread .32,0,0.: returned, but thread .0,0,0. waits for it in __syncthreads at lost_barrier.cu:LINE"
#include <cuda_runtime.h>
// The second barrier is in a branch that half of the block takes.
__global__ void reverse(int* x) {
  __shared__ int tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x < 32) {
    __syncthreads();  // FAULT
  }
  x[threadIdx.x] = tile[63 - threadIdx.x];
}
int main() {
  int* x;
  cudaMalloc(&x, 64 * sizeof(int));
  cudaMemset(x, 0, 64 * sizeof(int));
  reverse<<<1, 64>>>(x);
  return cudaDeviceSynchronize() != cudaSuccess;
}
