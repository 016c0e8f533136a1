// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/emulation/hopper_kernels.h"

#include "gradamp/tests/kernels/emulation/hopper_placement.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kTile = 64 * 64;  // elements of a box
constexpr int kTileBytes = kTile * 2;

template <int kN, bool kA, bool kB>
__global__ void product_kernel(const bf16* a, const bf16* b, float* d) {
#if defined(GRADAMP_SM90A)
  DYNAMIC_SHARED_1024(bf16, tile_a);
  bf16* const tile_b = tile_a + kTile;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < 64 * 64; i += 128) tile_a[index_of_operand(kA, i / 64, i % 64)] = a[i];
  for (int i = thread; i < 64 * kN; i += 128) tile_b[index_of_operand(kB, i % kN, i / kN)] = b[i];
  fence_proxy_async();
  __syncthreads();
  float sums[kN / 8][4];
#pragma unroll
  for (auto& tile : sums)
#pragma unroll
    for (float& sum : tile) sum = 7;  // which the first product does not add
  const std::uint64_t at_a = operand_descriptor(tile_a, kTileBytes), at_b = operand_descriptor(tile_b, kTileBytes);
  wgmma_fence();
#pragma unroll
  for (unsigned step = 0; step < 4; ++step)
    wgmma_bf16<kN, kA, kB>(sums, at_a + step * (kA ? 128 : 2), at_b + step * (kB ? 128 : 2), step > 0);
  wgmma_commit();
  wgmma_wait<0>();
  hold_registers(sums);
#pragma unroll
  for (int j = 0; j < kN / 8; ++j)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      d[(thread / 32 * 16 + thread % 32 / 4 + e / 2 * 8) * kN + j * 8 + thread % 4 * 2 + e % 2] = sums[j][e];
#endif
}

// Warp 1 loads, warp 0 copies.
template <int kRank>
__global__ void boxes_kernel(const __grid_constant__ TensorMap map, int rounds, bf16* out) {
#if defined(GRADAMP_SM90A)
  DYNAMIC_SHARED_1024(char, shared);
  auto* const full = reinterpret_cast<std::uint64_t*>(shared + 2 * kTileBytes);
  std::uint64_t* const empty = full + 2;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    for (int i = 0; i < 2; ++i) {
      mbarrier_init(full + i, 1);
      mbarrier_init(empty + i, 1);
    }
    fence_mbarrier_init();
  }
  __syncthreads();
  if (thread >= 32) {
    if (!elect_lane()) return;
    prefetch_tensor_map(&map);
    for (int round = 0; round < rounds; ++round) {
      const int slot = round % 2;
      void* const target = shared + slot * kTileBytes;
      mbarrier_wait(empty + slot, static_cast<unsigned>(round / 2 % 2 ^ 1));
      mbarrier_arrive_expect(full + slot, kTileBytes);
      if constexpr (kRank == 2) load_box_2d(target, &map, full + slot, 0, round * 64);
      if constexpr (kRank == 3) load_box_3d(target, &map, full + slot, 0, round * 64, 0);
      if constexpr (kRank == 4) load_box_4d(target, &map, full + slot, 0, round * 64, 0, 0);
    }
    return;
  }
  for (int round = 0; round < rounds; ++round) {
    const int slot = round % 2;
    mbarrier_wait(full + slot, static_cast<unsigned>(round / 2 % 2));
    const auto* const box = reinterpret_cast<const bf16*>(shared + slot * kTileBytes);
    for (int i = thread; i < kTile; i += 32) out[round * kTile + i] = box[index_of_operand(false, i / 64, i % 64)];
    __syncwarp();
    if (thread == 0) mbarrier_arrive(empty + slot);
  }
#endif
}

__global__ void im2col_kernel(const __grid_constant__ TensorMap map, int pixels, int c, int w, int h, int n,
                              int offset_w, int offset_h, bf16* out) {
#if defined(GRADAMP_SM90A)
  DYNAMIC_SHARED_1024(char, shared);
  auto* const full = reinterpret_cast<std::uint64_t*>(shared + pixels * 128);
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(full, static_cast<unsigned>(pixels * 128));
    load_im2col(shared, &map, full, c, w, h, n, offset_w, offset_h);
  }
  __syncthreads();
  mbarrier_wait(full, 0);
  for (int i = static_cast<int>(threadIdx.x); i < pixels * 64; i += 32)
    out[i] = reinterpret_cast<const bf16*>(shared)[index_of_operand(false, i / 64, i % 64)];
#endif
}

__global__ void exchange_kernel(const int* in, int* out) {
#if defined(GRADAMP_SM90A)
  SHARED(values, int[128]);
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = in[thread];
  named_barrier(1 + thread / 32 % 2, 64);
  out[thread] = values[(thread + 64) % 128];
#endif
}

template <bool kA, bool kB>
void launch_product_of(int n, const bf16* a, const bf16* b, float* d) {
  const auto run = [&](auto kernel) {
    launch(kernel, {1, 128, static_cast<std::size_t>(kTileBytes + 128 * n)}, a, b, d);
  };
  if (n == 64) run(product_kernel<64, kA, kB>);
  if (n == 128) run(product_kernel<128, kA, kB>);
  if (n == 256) run(product_kernel<256, kA, kB>);
}

}  // namespace

void launch_product(bool a_mn_major, bool b_mn_major, int n, const bf16* a, const bf16* b, float* d) {
  if (a_mn_major)
    b_mn_major ? launch_product_of<true, true>(n, a, b, d) : launch_product_of<true, false>(n, a, b, d);
  else
    b_mn_major ? launch_product_of<false, true>(n, a, b, d) : launch_product_of<false, false>(n, a, b, d);
}

void launch_boxes(const TensorMap& map, int rank, int rounds, bf16* out) {
  const Launch shape{1, 64, 2 * kTileBytes + 4 * sizeof(std::uint64_t)};
  if (rank == 2) launch(boxes_kernel<2>, shape, map, rounds, out);
  if (rank == 3) launch(boxes_kernel<3>, shape, map, rounds, out);
  if (rank == 4) launch(boxes_kernel<4>, shape, map, rounds, out);
}

void launch_im2col(const TensorMap& map, int pixels, int c, int w, int h, int n, int offset_w, int offset_h,
                   bf16* out) {
  launch(im2col_kernel, {1, 32, static_cast<std::size_t>(pixels) * 128 + 8}, map, pixels, c, w, h, n, offset_w,
         offset_h, out);
}

void launch_exchange(const int* in, int* out) { launch(exchange_kernel, {1, 128}, in, out); }

}  // namespace gradamp::GRADAMP_GPU
