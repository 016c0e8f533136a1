// SPDX-License-Identifier: MIT
// Cooperative groups: tiles of 8 threads, groups of the threads that take a branch, and the block's group.
#include <cooperative_groups.h>

#include "check.h"

namespace cg = cooperative_groups;

// One atomic addition per group of active threads (warp-aggregated).
__device__ int next_index(int* counter) {
  cg::coalesced_group active = cg::coalesced_threads();
  int first = 0;
  if (active.thread_rank() == 0) first = atomicAdd(counter, (int)active.size());
  return active.shfl(first, 0) + active.thread_rank();
}

__global__ void keep_odd(const int* in, int n, int* out, int* count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && in[i] % 2 == 1) out[next_index(count)] = in[i];
}

__global__ void sums_of_8(const int* in, int* out) {
  cg::thread_block block = cg::this_thread_block();
  auto tile = cg::tiled_partition<8>(block);
  int value = in[block.thread_rank()];
  for (int offset = tile.size() / 2; offset > 0; offset /= 2) value += tile.shfl_down(value, offset);
  __shared__ int total;
  if (block.thread_rank() == 0) total = 0;
  block.sync();
  if (tile.thread_rank() == 0) {
    out[tile.meta_group_rank()] = value;
    atomicAdd(&total, value);
  }
  cg::sync(block);
  if (block.thread_rank() == 0) out[block.size() / 8] = total;
}

int main() {
  const int n = 500;
  int in[n], out[n], *d_in, *d_out, *d_count, count, odd = 0;
  for (int i = 0; i < n; ++i) odd += (in[i] = i * 31 % 97) % 2;
  CHECK(cudaMalloc(&d_in, sizeof in));
  CHECK(cudaMalloc(&d_out, sizeof out));
  CHECK(cudaMalloc(&d_count, sizeof(int)));
  CHECK(cudaMemset(d_count, 0, sizeof(int)));
  CHECK(cudaMemcpy(d_in, in, sizeof in, cudaMemcpyHostToDevice));
  keep_odd<<<4, 128>>>(d_in, n, d_out, d_count);
  CHECK(cudaMemcpy(&count, d_count, sizeof count, cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(out, d_out, sizeof out, cudaMemcpyDeviceToHost));
  expect_near(count, odd, 0, "number of odd values", 0);
  long kept = 0, expected = 0;
  for (int i = 0; i < count; ++i) kept += out[i] % 2 == 1 ? out[i] : 1000000;
  for (int value : in) expected += value % 2 == 1 ? value : 0;
  expect_near(kept, expected, 0, "sum of odd values", 0);

  sums_of_8<<<1, 64>>>(d_in, d_out);
  CHECK(cudaMemcpy(out, d_out, sizeof out, cudaMemcpyDeviceToHost));
  int total = 0;
  for (int tile = 0; tile < 8; ++tile) {
    int sum = 0;
    for (int i = 0; i < 8; ++i) sum += in[8 * tile + i];
    expect_near(out[tile], sum, 0, "tile", tile);
    total += sum;
  }
  expect_near(out[8], total, 0, "total", 0);
}
