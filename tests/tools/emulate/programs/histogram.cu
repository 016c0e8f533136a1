// SPDX-License-Identifier: MIT
// A histogram by atomic additions in shared memory; cudaMallocManaged.
#include "check.h"

__global__ void histogram(const unsigned char* text, int n, unsigned* counts) {
  __shared__ unsigned own[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) own[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&own[text[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x)
    if (own[i] > 0) atomicAdd(counts + i, own[i]);
}

int main() {
  const int n = 20000;
  unsigned char* text;
  unsigned* counts;
  CHECK(cudaMallocManaged(&text, n));
  CHECK(cudaMallocManaged(&counts, 256 * sizeof(unsigned)));
  unsigned expected[256] = {};
  for (int i = 0; i < n; ++i) ++expected[text[i] = (unsigned char)(i * i % 251)];
  for (int i = 0; i < 256; ++i) counts[i] = 0;
  histogram<<<7, 128>>>(text, n, counts);
  CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < 256; ++i) expect_near(counts[i], expected[i], 0, "count", i);
  CHECK(cudaFree(text));
  CHECK(cudaFree(counts));
}
