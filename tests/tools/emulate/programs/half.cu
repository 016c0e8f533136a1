// SPDX-License-Identifier: MIT
// half and half2: a*x + y, and a dot product that is accumulated in float.
#include <cuda_fp16.h>

#include "check.h"

__global__ void axpy(__half a, const __half* x, __half* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = __hfma(a, x[i], y[i]);
}

__global__ void axpy2(half2 a, const half2* x, half2* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = __hadd2(__hmul2(a, x[i]), y[i]);
}

__global__ void dot(const half2* x, const half2* y, float* result, int n) {
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const float2 product = __half22float2(__hmul2(x[i], y[i]));
    sum += product.x + product.y;
  }
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffff, sum, offset);
  if (threadIdx.x == 0) *result = sum;
}

int main() {
  const int n = 300;
  __half x[n], y[n], got[n], *d_x, *d_y;
  float *d_sum, sum;
  for (int i = 0; i < n; ++i) x[i] = __float2half(0.25f * (i % 9)), y[i] = __float2half(0.5f * (i % 5));
  CHECK(cudaMalloc(&d_x, sizeof x));
  CHECK(cudaMalloc(&d_y, sizeof y));
  CHECK(cudaMalloc(&d_sum, sizeof(float)));
  CHECK(cudaMemcpy(d_x, x, sizeof x, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(d_y, y, sizeof y, cudaMemcpyHostToDevice));
  axpy<<<3, 128>>>(__float2half(2.0f), d_x, d_y, n);
  axpy2<<<2, 128>>>(__float2half2_rn(0.5f), (const half2*)d_x, (half2*)d_y, n / 2);
  CHECK(cudaMemcpy(got, d_y, sizeof got, cudaMemcpyDeviceToHost));
  // All values are multiples of 1/8 below 8, which half has exactly.
  double expected_sum = 0;
  for (int i = 0; i < n; ++i) {
    const float expected = 2.5f * 0.25f * (i % 9) + 0.5f * (i % 5);
    expect_near(__half2float(got[i]), expected, 0, "axpy", i);
    expected_sum += 0.25 * (i % 9) * expected;
  }
  dot<<<1, 32>>>((const half2*)d_x, (const half2*)d_y, d_sum, n / 2);
  CHECK(cudaMemcpy(&sum, d_sum, sizeof sum, cudaMemcpyDeviceToHost));
  expect_near(sum, expected_sum, 1e-3 * expected_sum, "dot", 0);  // products are rounded to 11 bits
}
