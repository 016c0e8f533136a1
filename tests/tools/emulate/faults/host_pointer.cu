// SPDX-License-Identifier: MIT
// reported: "launched at host_pointer.cu:LINE: argument 1 is .*, which is not in memory that cudaMalloc gave"
#include <cuda_runtime.h>
// A host's array is given to a kernel.
__global__ void fill(int* x) { x[threadIdx.x] = 1; }
int main() {
  int x[32];
  fill<<<1, 32>>>(x);  // FAULT
  return cudaDeviceSynchronize() != cudaSuccess;
}
