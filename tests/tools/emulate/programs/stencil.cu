// SPDX-License-Identifier: MIT
// A stencil whose coefficients are in constant memory, with a halo in shared memory.
#include "check.h"

const int kRadius = 3, kBlock = 64;
__constant__ float coefficients[2 * kRadius + 1];

__global__ void stencil(const float* in, float* out, int n) {
  __shared__ float tile[kBlock + 2 * kRadius];
  const int global = blockIdx.x * blockDim.x + threadIdx.x, local = threadIdx.x + kRadius;
  tile[local] = global < n ? in[global] : 0.0f;
  if (threadIdx.x < kRadius) {
    tile[local - kRadius] = global >= kRadius ? in[global - kRadius] : 0.0f;
    tile[local + kBlock] = global + kBlock < n ? in[global + kBlock] : 0.0f;
  }
  __syncthreads();
  if (global >= n) return;
  float sum = 0;
  for (int k = -kRadius; k <= kRadius; ++k) sum += coefficients[k + kRadius] * tile[local + k];
  out[global] = sum;
}

int main() {
  const int n = 300;
  float weights[2 * kRadius + 1] = {1, 2, 4, 8, 4, 2, 1}, in[n], out[n], *d_in, *d_out;
  for (int i = 0; i < n; ++i) in[i] = (float)(i % 11);
  CHECK(cudaMemcpyToSymbol(coefficients, weights, sizeof weights));
  CHECK(cudaMalloc(&d_in, sizeof in));
  CHECK(cudaMalloc(&d_out, sizeof out));
  CHECK(cudaMemcpy(d_in, in, sizeof in, cudaMemcpyHostToDevice));
  stencil<<<(n + kBlock - 1) / kBlock, kBlock>>>(d_in, d_out, n);
  CHECK(cudaPeekAtLastError());
  CHECK(cudaMemcpy(out, d_out, sizeof out, cudaMemcpyDeviceToHost));
  for (int i = 0; i < n; ++i) {
    float sum = 0;
    for (int k = -kRadius; k <= kRadius; ++k)
      if (i + k >= 0 && i + k < n) sum += weights[k + kRadius] * in[i + k];
    expect_near(out[i], sum, 0, "out", i);
  }
}
