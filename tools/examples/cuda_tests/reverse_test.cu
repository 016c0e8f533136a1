// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>

#include <cstdio>
#include <vector>

#include "reverse.h"

int main() {
  std::vector<float> in(COUNT), out(COUNT);
  for (int i = 0; i < COUNT; ++i) in[i] = (float)i;
  float *device_in, *device_out;
  cudaMalloc(&device_in, COUNT * sizeof(float));
  cudaMalloc(&device_out, COUNT * sizeof(float));
  cudaMemcpy(device_in, in.data(), COUNT * sizeof(float), cudaMemcpyHostToDevice);
  reverse(device_in, device_out, COUNT);
  cudaMemcpy(out.data(), device_out, COUNT * sizeof(float), cudaMemcpyDeviceToHost);
  for (int i = 0; i < COUNT; ++i)
    if (out[i] != in[COUNT - 1 - i]) {
      std::printf("element %d: expected %g, got %g\n", i, in[COUNT - 1 - i], out[i]);
      return 1;
    }
  cudaFree(device_in);
  cudaFree(device_out);
  std::printf("%d elements\n", COUNT);
}
