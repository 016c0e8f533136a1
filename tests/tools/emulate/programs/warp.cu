// SPDX-License-Identifier: MIT
// Warp intrinsics: votes, matches, reductions, shuffles of every kind, and __activemask in a branch.
#include "check.h"

struct Lane {
  unsigned ballot, match, active, active_elsewhere;
  int any, all, match_all, sum, least, up, xored, broadcast, population, first_set, reversed;
};

__global__ void run(Lane* out) {
  const unsigned full = 0xffffffffu;
  const int lane = threadIdx.x;
  Lane own = {};
  own.ballot = __ballot_sync(full, lane % 3 == 0);
  own.any = __any_sync(full, lane == 17);
  own.all = __all_sync(full, lane < 31);
  own.match = __match_any_sync(full, lane % 4);
  __match_all_sync(full, lane / 32, &own.match_all);
  own.sum = __reduce_add_sync(full, lane);
  own.least = __reduce_min_sync(full, 40 - lane);
  own.up = __shfl_up_sync(full, lane, 2);
  own.xored = __shfl_xor_sync(full, lane, 5);
  own.broadcast = __shfl_sync(full, lane * lane, 3, 8);
  if (lane % 2 == 0)
    own.active = __activemask();
  else
    own.active_elsewhere = __activemask();
  own.population = __popc(own.ballot);
  own.first_set = __ffs(own.match);
  own.reversed = __brev(1u << lane) == 1u << (31 - lane);
  out[lane] = own;
}

int main() {
  Lane lanes[32], *device;
  CHECK(cudaMalloc(&device, sizeof lanes));
  run<<<1, 32>>>(device);
  CHECK(cudaMemcpy(lanes, device, sizeof lanes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 32; ++i) {
    unsigned ballot = 0, match = 0;
    for (int j = 0; j < 32; ++j) ballot |= (j % 3 == 0 ? 1u : 0u) << j, match |= (j % 4 == i % 4 ? 1u : 0u) << j;
    expect_near(lanes[i].ballot, ballot, 0, "ballot", i);
    expect_near(lanes[i].match, match, 0, "match", i);
    expect_near(lanes[i].any, 1, 0, "any", i);
    expect_near(lanes[i].all, 0, 0, "all", i);
    expect_near(lanes[i].match_all, 1, 0, "match_all", i);
    expect_near(lanes[i].sum, 31 * 16, 0, "sum", i);
    expect_near(lanes[i].least, 9, 0, "least", i);
    expect_near(lanes[i].up, i < 2 ? i : i - 2, 0, "up", i);
    expect_near(lanes[i].xored, i ^ 5, 0, "xor", i);
    expect_near(lanes[i].broadcast, (i / 8 * 8 + 3) * (i / 8 * 8 + 3), 0, "broadcast", i);
    expect_near(lanes[i].active, i % 2 == 0 ? 0x55555555u : 0u, 0, "active", i);
    expect_near(lanes[i].active_elsewhere, i % 2 == 1 ? 0xaaaaaaaau : 0u, 0, "active elsewhere", i);
    expect_near(lanes[i].population, 11, 0, "population", i);
    expect_near(lanes[i].first_set, i % 4 + 1, 0, "first set", i);
    expect_near(lanes[i].reversed, 1, 0, "reversed", i);
  }
}
