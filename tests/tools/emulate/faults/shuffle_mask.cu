// SPDX-License-Identifier: MIT
// reported: "thread .16,0,0.: __shfl_xor_sync at shuffle_mask.cu:LINE: lane 16 is not in its own mask 0x0000ffff"
#include <cuda_runtime.h>
// Lanes 16 to 31 shuffle with a mask that they are not in.
__global__ void sum(int* x) {
  int value = x[threadIdx.x];
  value += __shfl_xor_sync(0x0000ffff, value, 1);  // FAULT
  x[threadIdx.x] = value;
}
int main() {
  int* x;
  cudaMalloc(&x, 32 * sizeof(int));
  cudaMemset(x, 0, 32 * sizeof(int));
  sum<<<1, 32>>>(x);
  return cudaDeviceSynchronize() != cudaSuccess;
}
