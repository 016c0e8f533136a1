// SPDX-License-Identifier: MIT
// A product of matrices on tensor cores: each warp computes a tile of 16 x 16, in half and in bfloat16.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include "check.h"

using namespace nvcuda;

template <typename T>
__global__ void multiply(const T* a, const T* b, float* c, int n) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> a_tile;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::col_major> b_tile;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::fill_fragment(sum, 0.0f);
  const int row = blockIdx.y * 16, column = (blockIdx.x * blockDim.y + threadIdx.y) * 16;
  for (int k = 0; k < n; k += 16) {
    wmma::load_matrix_sync(a_tile, a + row * n + k, n);
    wmma::load_matrix_sync(b_tile, b + column * n + k, n);  // b is stored by columns
    wmma::mma_sync(sum, a_tile, b_tile, sum);
  }
  for (int i = 0; i < sum.num_elements; ++i) sum.x[i] *= 0.5f;
  wmma::store_matrix_sync(c + row * n + column, sum, n, wmma::mem_row_major);
}

template <typename T>
void test(T (*convert)(float), const char* name) {
  const int n = 64;
  static T a[n * n], b[n * n];
  static float c[n * n];
  T *d_a, *d_b;
  float* d_c;
  for (int i = 0; i < n * n; ++i) a[i] = convert((float)(i % 7 - 3)), b[i] = convert((float)(i % 5 - 2));
  CHECK(cudaMalloc(&d_a, sizeof a));
  CHECK(cudaMalloc(&d_b, sizeof b));
  CHECK(cudaMalloc(&d_c, sizeof c));
  CHECK(cudaMemcpy(d_a, a, sizeof a, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(d_b, b, sizeof b, cudaMemcpyHostToDevice));
  multiply<<<dim3(n / 32, n / 16), dim3(32, 2)>>>(d_a, d_b, d_c, n);
  CHECK(cudaMemcpy(c, d_c, sizeof c, cudaMemcpyDeviceToHost));
  for (int y = 0; y < n; ++y)
    for (int x = 0; x < n; ++x) {
      int sum = 0;
      for (int k = 0; k < n; ++k) sum += ((y * n + k) % 7 - 3) * ((x * n + k) % 5 - 2);
      expect_near(c[y * n + x], 0.5 * sum, 0, name, y * n + x);
    }
}

int main() {
  test<__half>([](float value) { return __float2half(value); }, "half");
  test<__nv_bfloat16>([](float value) { return __float2bfloat16(value); }, "bf16");
}
