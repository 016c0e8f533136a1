// SPDX-License-Identifier: MIT
// reported: "race in shared memory: block .0,0,0., thread .* at race.cu:.* read at race.cu:LINE, and nothing orders"
#include <cuda_runtime.h>
// needs --race: a barrier between the write and the read of a neighbour's element is missing.
__global__ void shift(int* x) {
  __shared__ int tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = tile[(threadIdx.x + 1) % 64];  // FAULT
}
int main() {
  int* x;
  cudaMalloc(&x, 64 * sizeof(int));
  cudaMemset(x, 0, 64 * sizeof(int));
  shift<<<1, 64>>>(x);
  return cudaDeviceSynchronize() != cudaSuccess;
}
