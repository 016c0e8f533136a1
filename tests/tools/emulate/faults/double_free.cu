// SPDX-License-Identifier: MIT
// reported: "cudaFree at double_free.cu:LINE got .*, which was freed before"
#include <cuda_runtime.h>
int main() {
  int *x, *y;
  cudaMalloc(&x, 128);
  cudaMalloc(&y, 128);
  cudaFree(x);
  cudaFree(x);  // FAULT
  cudaFree(y);
}
