// SPDX-License-Identifier: MIT
// reported: "kernel launched at too_many_threads.cu:LINE: the block is .2048,1,1. threads; the device takes"
#include <cuda_runtime.h>
__global__ void work(int* x) { x[0] = 1; }
int main() {
  int* x;
  cudaMalloc(&x, sizeof(int));
  work<<<1, 2048>>>(x);  // FAULT
  return cudaGetLastError() != cudaSuccess;
}
