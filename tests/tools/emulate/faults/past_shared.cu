// SPDX-License-Identifier: MIT
// reported: "past the end of the 2048 bytes of dynamic shared memory, at past_shared.cu:LINE"
#include <cuda_runtime.h>
// The dynamic shared memory of the launch is half of what the kernel writes.
__global__ void copy(const float* in, float* out) {
  extern __shared__ float tile[];
  tile[threadIdx.x] = in[threadIdx.x];  // FAULT
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}
int main() {
  float *in, *out;
  cudaMalloc(&in, 2048 * sizeof(float));
  cudaMalloc(&out, 2048 * sizeof(float));
  cudaMemset(in, 0, 2048 * sizeof(float));
  copy<<<1, 1024, 512 * sizeof(float)>>>(in, out);
  return cudaDeviceSynchronize() != cudaSuccess;
}
