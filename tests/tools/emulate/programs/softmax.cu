// SPDX-License-Identifier: MIT
// Softmax over rows with cooperative groups: a tile of 32 threads per row.
#include <cooperative_groups.h>

#include <cfloat>

#include "check.h"

namespace cg = cooperative_groups;

__global__ void softmax(const float* in, float* out, int rows, int columns) {
  cg::thread_block block = cg::this_thread_block();
  cg::thread_block_tile<32> warp = cg::tiled_partition<32>(block);
  const int row = blockIdx.x * warp.meta_group_size() + warp.meta_group_rank();
  if (row >= rows) return;
  const float* x = in + row * columns;
  float largest = -FLT_MAX;
  for (int i = warp.thread_rank(); i < columns; i += warp.size()) largest = fmaxf(largest, x[i]);
  for (int offset = warp.size() / 2; offset > 0; offset /= 2) largest = fmaxf(largest, warp.shfl_xor(largest, offset));
  float sum = 0;
  for (int i = warp.thread_rank(); i < columns; i += warp.size()) sum += expf(x[i] - largest);
  for (int offset = warp.size() / 2; offset > 0; offset /= 2) sum += warp.shfl_xor(sum, offset);
  for (int i = warp.thread_rank(); i < columns; i += warp.size()) out[row * columns + i] = expf(x[i] - largest) / sum;
}

int main() {
  const int rows = 10, columns = 77;
  float in[rows * columns], out[rows * columns], *d_in, *d_out;
  for (int i = 0; i < rows * columns; ++i) in[i] = (float)(i % 23) * 0.3f;
  CHECK(cudaMalloc(&d_in, sizeof in));
  CHECK(cudaMalloc(&d_out, sizeof out));
  CHECK(cudaMemcpy(d_in, in, sizeof in, cudaMemcpyHostToDevice));
  softmax<<<3, 128>>>(d_in, d_out, rows, columns);
  CHECK(cudaMemcpy(out, d_out, sizeof out, cudaMemcpyDeviceToHost));
  for (int row = 0; row < rows; ++row) {
    double sum = 0;
    for (int i = 0; i < columns; ++i) sum += exp(in[row * columns + i]);
    for (int i = 0; i < columns; ++i)
      expect_near(out[row * columns + i], exp(in[row * columns + i]) / sum, 1e-6, "softmax", i);
  }
}
