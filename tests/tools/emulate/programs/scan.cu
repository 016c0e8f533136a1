// SPDX-License-Identifier: MIT
// Blelloch's exclusive prefix sum of a block, in dynamic shared memory.
#include "check.h"

__global__ void scan(const int* in, int* out, int n) {
  extern __shared__ int data[];
  const int t = threadIdx.x;
  data[2 * t] = in[2 * t];
  data[2 * t + 1] = in[2 * t + 1];
  int offset = 1;
  for (int d = n >> 1; d > 0; d >>= 1) {
    __syncthreads();
    if (t < d) data[offset * (2 * t + 2) - 1] += data[offset * (2 * t + 1) - 1];
    offset *= 2;
  }
  if (t == 0) data[n - 1] = 0;
  for (int d = 1; d < n; d *= 2) {
    offset >>= 1;
    __syncthreads();
    if (t < d) {
      const int a = offset * (2 * t + 1) - 1, b = offset * (2 * t + 2) - 1;
      const int left = data[a];
      data[a] = data[b];
      data[b] += left;
    }
  }
  __syncthreads();
  out[2 * t] = data[2 * t];
  out[2 * t + 1] = data[2 * t + 1];
}

int main() {
  constexpr int kCount = 512;
  int in[kCount], out[kCount], *d_in, *d_out;
  for (int i = 0; i < kCount; ++i) in[i] = i * 7 % 13 - 4;
  CHECK(cudaMalloc(&d_in, sizeof in));
  CHECK(cudaMalloc(&d_out, sizeof out));
  CHECK(cudaMemcpy(d_in, in, sizeof in, cudaMemcpyHostToDevice));
  scan<<<1, kCount / 2, kCount * sizeof(int)>>>(d_in, d_out, kCount);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaMemcpy(out, d_out, sizeof out, cudaMemcpyDeviceToHost));
  int expected = 0;
  for (int i = 0; i < kCount; expected += in[i++]) expect_near(out[i], expected, 0, "scan", i);
}
