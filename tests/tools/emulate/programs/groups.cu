// SPDX-License-Identifier: MIT
// Cooperative groups: tiles of 8 threads, groups of the threads that take a branch, and the block's group.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

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

struct Lane {
  int down, up, xored, from_3, any, all, sum;
  unsigned ballot;
};

__global__ void functions_of_tiles(Lane* out) {
  const auto tile = cg::tiled_partition<8>(cg::this_thread_block());
  const int rank = threadIdx.x;
  Lane own;
  own.down = tile.shfl_down(rank, 2);
  own.up = tile.shfl_up(rank, 3);
  own.xored = tile.shfl_xor(rank, 5);
  own.from_3 = tile.shfl(rank, 3);
  own.any = tile.any(rank == 9);
  own.all = tile.all(rank >= 8);
  own.ballot = tile.ballot(rank % 3 == 0);
  own.sum = cg::reduce(tile, rank, cg::plus<int>());
  out[rank] = own;
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
  CHECK(cudaMemcpy(out, d_out, count * sizeof(int), cudaMemcpyDeviceToHost));
  expect_near(count, odd, 0, "number of odd values", 0);
  long kept = 0, expected = 0;
  for (int i = 0; i < count; ++i) kept += out[i] % 2 == 1 ? out[i] : 1000000;
  for (int value : in) expected += value % 2 == 1 ? value : 0;
  expect_near(kept, expected, 0, "sum of odd values", 0);

  sums_of_8<<<1, 64>>>(d_in, d_out);
  CHECK(cudaMemcpy(out, d_out, 9 * sizeof(int), cudaMemcpyDeviceToHost));
  int total = 0;
  for (int tile = 0; tile < 8; ++tile) {
    int sum = 0;
    for (int i = 0; i < 8; ++i) sum += in[8 * tile + i];
    expect_near(out[tile], sum, 0, "tile", tile);
    total += sum;
  }
  expect_near(out[8], total, 0, "total", 0);

  Lane lanes[48], *d_lanes;
  CHECK(cudaMalloc(&d_lanes, sizeof lanes));
  functions_of_tiles<<<1, 48>>>(d_lanes);
  CHECK(cudaMemcpy(lanes, d_lanes, sizeof lanes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 48; ++i) {
    const int first = i / 8 * 8, in_tile = i % 8;
    unsigned ballot = 0;
    for (int j = 0; j < 8; ++j) ballot |= ((first + j) % 3 == 0 ? 1u : 0u) << j;
    expect_near(lanes[i].down, in_tile + 2 < 8 ? i + 2 : i, 0, "down", i);
    expect_near(lanes[i].up, in_tile >= 3 ? i - 3 : i, 0, "up", i);
    expect_near(lanes[i].xored, first + (in_tile ^ 5), 0, "xor", i);
    expect_near(lanes[i].from_3, first + 3, 0, "from 3", i);
    expect_near(lanes[i].any, first == 8, 0, "any", i);
    expect_near(lanes[i].all, first >= 8, 0, "all", i);
    expect_near(lanes[i].ballot, ballot, 0, "ballot", i);
    expect_near(lanes[i].sum, 8 * first + 28, 0, "sum", i);
  }
}
