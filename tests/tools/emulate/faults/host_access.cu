// SPDX-License-Identifier: MIT
// reported: "host code touched the device's memory at .*, in host_access.cu:LINE"
#include <cuda_runtime.h>
#include <cstdio>
// The host reads the device's memory.
int main() {
  int* x;
  cudaMalloc(&x, sizeof(int));
  cudaMemset(x, 0, sizeof(int));
  printf("%d\n", *x);  // FAULT
}
