// SPDX-License-Identifier: MIT
// A sum by shared memory, then by shuffles, then by one atomic addition per block.
#include "check.h"

__inline__ __device__ float warp_sum(float value) {
  for (int offset = warpSize / 2; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffff, value, offset);
  return value;
}

__global__ void reduce(const float* __restrict__ in, float* out, int n) {
  __shared__ float partial[32];
  float sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) sum += in[i];
  sum = warp_sum(sum);
  if (threadIdx.x % warpSize == 0) partial[threadIdx.x / warpSize] = sum;
  __syncthreads();
  if (threadIdx.x < warpSize) {
    sum = threadIdx.x < blockDim.x / warpSize ? partial[threadIdx.x] : 0.0f;
    sum = warp_sum(sum);
    if (threadIdx.x == 0) atomicAdd(out, sum);
  }
}

int main() {
  const int n = 100000;
  float* host = new float[n];
  double expected = 0;
  for (int i = 0; i < n; ++i) expected += host[i] = 1.0f / (1 + i % 17);
  float *in, *out, result;
  CHECK(cudaMalloc(&in, n * sizeof(float)));
  CHECK(cudaMalloc((void**)&out, sizeof(float)));
  CHECK(cudaMemcpy(in, host, n * sizeof(float), cudaMemcpyHostToDevice));
  CHECK(cudaMemset(out, 0, sizeof(float)));
  reduce<<<20, 256>>>(in, out, n);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&result, out, sizeof(float), cudaMemcpyDeviceToHost));
  expect_near(result, expected, 0.05, "sum", 0);
  CHECK(cudaFree(in));
  CHECK(cudaFree(out));
  delete[] host;
}
