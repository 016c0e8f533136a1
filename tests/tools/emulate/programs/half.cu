// SPDX-License-Identifier: MIT
// half, half2 and bfloat16: a*x + y, and a dot product that is accumulated in float.
#include <cuda_bf16.h>
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

// 2 * x + 1, its maximum with 3, and whether x is above 1: in bfloat16 and in half.
template <typename T, typename Pair>
__global__ void functions(const T* x, Pair* out) {
  const T one = x[1], two = one + one, value = x[threadIdx.x];
  const T sum = __hfma(two, value, one);
  out[threadIdx.x] = Pair{__hmax(sum, two + one), value > one ? one : value - value};
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

  __half2 pairs[32], *d_pairs;
  __nv_bfloat16 b[32], *d_b;
  __nv_bfloat162 b_pairs[32], *d_b_pairs;
  CHECK(cudaMalloc(&d_pairs, sizeof pairs));
  CHECK(cudaMalloc(&d_b, sizeof b));
  CHECK(cudaMalloc(&d_b_pairs, sizeof b_pairs));
  for (int i = 0; i < 32; ++i) x[i] = __int2half_rn(i), b[i] = __float2bfloat16((float)i);
  CHECK(cudaMemcpy(d_x, x, sizeof x, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(d_b, b, sizeof b, cudaMemcpyHostToDevice));
  functions<<<1, 32>>>(d_x, d_pairs);
  functions<<<1, 32>>>(d_b, d_b_pairs);
  CHECK(cudaMemcpy(pairs, d_pairs, sizeof pairs, cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(b_pairs, d_b_pairs, sizeof b_pairs, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 32; ++i) {
    const int expected = i < 1 ? 3 : 2 * i + 1;
    expect_near(__low2float(pairs[i]), expected, 0, "half", i);
    expect_near(__high2float(pairs[i]), i > 1, 0, "half, above 1", i);
    expect_near(__low2float(b_pairs[i]), expected, 0, "bf16", i);
    expect_near(__high2float(b_pairs[i]), i > 1, 0, "bf16, above 1", i);
  }
}
