// SPDX-License-Identifier: MIT
// A product of matrices by tiles, timed by events.
#include "check.h"

template <int kTile>
__global__ __launch_bounds__(kTile* kTile) void matmul(const float* A, const float* B, float* C, int n) {
  __shared__ float a[kTile][kTile], b[kTile][kTile];
  const int row = blockIdx.y * kTile + threadIdx.y, column = blockIdx.x * kTile + threadIdx.x;
  float sum = 0.0f;
  for (int tile = 0; tile < n / kTile; ++tile) {
    a[threadIdx.y][threadIdx.x] = A[row * n + tile * kTile + threadIdx.x];
    b[threadIdx.y][threadIdx.x] = B[(tile * kTile + threadIdx.y) * n + column];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kTile; ++k) sum += a[threadIdx.y][k] * b[k][threadIdx.x];
    __syncthreads();
  }
  C[row * n + column] = sum;
}

int main() {
  const int n = 64;
  const size_t bytes = n * n * sizeof(float);
  float *a, *b, *c, *d_a, *d_b, *d_c;
  CHECK(cudaMallocHost(&a, bytes));
  CHECK(cudaHostAlloc(&b, bytes, cudaHostAllocDefault));
  c = (float*)malloc(bytes);
  for (int i = 0; i < n * n; ++i) a[i] = i % 7 - 3, b[i] = i % 5 - 2;
  CHECK(cudaMalloc(&d_a, bytes));
  CHECK(cudaMalloc(&d_b, bytes));
  CHECK(cudaMalloc(&d_c, bytes));
  CHECK(cudaMemcpy(d_a, a, bytes, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(d_b, b, bytes, cudaMemcpyHostToDevice));
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  CHECK(cudaEventRecord(begin));
  const dim3 block(16, 16), grid(n / 16, n / 16);
  matmul<16><<<grid, block>>>(d_a, d_b, d_c, n);
  CHECK(cudaEventRecord(end));
  CHECK(cudaEventSynchronize(end));
  float milliseconds;
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
  CHECK(cudaMemcpy(c, d_c, bytes, cudaMemcpyDeviceToHost));
  for (int y = 0; y < n; ++y)
    for (int x = 0; x < n; ++x) {
      float sum = 0;
      for (int k = 0; k < n; ++k) sum += a[y * n + k] * b[k * n + x];
      expect_near(c[y * n + x], sum, 0, "product", y * n + x);
    }
  CHECK(cudaFreeHost(a));
  CHECK(cudaFreeHost(b));
  free(c);
  cudaFree(d_a), cudaFree(d_b), cudaFree(d_c);
}
