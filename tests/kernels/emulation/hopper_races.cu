// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/emulation/hopper_races.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kTileBytes = 64 * 64 * 2;

__global__ void load_twice_kernel(bool early, bool unawaited, const __grid_constant__ TensorMap map, float* out) {
  DYNAMIC_SHARED_1024(char, shared);
  auto* const full = reinterpret_cast<std::uint64_t*>(shared + kTileBytes);
  std::uint64_t* const empty = full + 1;
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    mbarrier_init(empty, 1);
    fence_mbarrier_init();
  }
  __syncthreads();
  for (unsigned round = 0; round < 2; ++round) {
    if (threadIdx.x == 0) {
      mbarrier_wait(empty, round % 2 ^ 1);
      mbarrier_arrive_expect(full, kTileBytes);
      load_box_2d(shared, &map, full, 0, 0);
    }
    if (threadIdx.x != 32) continue;
    if (!unawaited) mbarrier_wait(full, round % 2);
    if (early) mbarrier_arrive(empty);
    out[round] = __bfloat162float(*reinterpret_cast<const bf16*>(shared));
    if (unawaited) mbarrier_wait(full, round % 2);
    if (!early) mbarrier_arrive(empty);
  }
}

__global__ void multiply_kernel(bool synchronized, float* out) {
  DYNAMIC_SHARED_1024(bf16, tiles);
  for (unsigned i = threadIdx.x; i < 2 * 64 * 64; i += 128) tiles[i] = __float2bfloat16(1);
  fence_proxy_async();
  if (synchronized) __syncthreads();
  float sums[8][4] = {};
  wgmma_fence();
  wgmma_bf16<64, false, false>(sums, operand_descriptor(tiles, 0), operand_descriptor(tiles + 64 * 64, 0), true);
  wgmma_commit();
  wgmma_wait<0>();
  out[threadIdx.x] = sums[0][0];
}

}  // namespace

void load_twice(bool early, bool unawaited, const TensorMap& map, float* out) {
  launch(load_twice_kernel, {1, 64, kTileBytes + 16}, early, unawaited, map, out);
}

void store_and_multiply(bool synchronized, float* out) {
  launch(multiply_kernel, {1, 128, 2 * kTileBytes}, synchronized, out);
}

}  // namespace gradamp::GRADAMP_GPU
