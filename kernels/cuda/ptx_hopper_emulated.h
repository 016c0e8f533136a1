// SPDX-License-Identifier: MIT
// The emulator's version of ptx_hopper.h, which documents the wrappers: the same wrappers in the same order. Kernel
// files include ptx_hopper.h.
//
// `location` is the source location for the emulator's messages; callers omit it.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

using TensorMap = emulation::TensorMap;

__device__ __forceinline__ std::uint32_t shared_address_32(const void* pointer) {
  return emulation::shared_window_address(pointer);
}

__device__ __forceinline__ void mbarrier_init(std::uint64_t* barrier, std::uint32_t arrivals,
                                              emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::init_mbarrier(barrier, arrivals, location);
}

__device__ __forceinline__ void fence_mbarrier_init() { emulation::fence_mbarrier_init(); }

__device__ __forceinline__ void mbarrier_arrive(
    std::uint64_t* barrier, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::arrive_mbarrier(barrier, 0, location);
}

__device__ __forceinline__ void mbarrier_arrive_expect(
    std::uint64_t* barrier, std::uint32_t bytes,
    emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::arrive_mbarrier(barrier, bytes, location);
}

__device__ __forceinline__ void mbarrier_wait(std::uint64_t* barrier, std::uint32_t parity,
                                              emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::wait_mbarrier(barrier, parity, location);
}

__device__ __forceinline__ void named_barrier(int id, int threads,
                                              emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::join_named_barrier(id, threads, location);
}

__device__ __forceinline__ bool elect_lane(emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::elect_lane(location);
}

__device__ __forceinline__ void load_box_2d(void* shared, const TensorMap* map, std::uint64_t* barrier, int c0, int c1,
                                            emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const int coordinates[] = {c0, c1};
  emulation::load_tensor(shared, map, barrier, coordinates, nullptr, location);
}

__device__ __forceinline__ void load_box_3d(void* shared, const TensorMap* map, std::uint64_t* barrier, int c0, int c1,
                                            int c2,
                                            emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const int coordinates[] = {c0, c1, c2};
  emulation::load_tensor(shared, map, barrier, coordinates, nullptr, location);
}

__device__ __forceinline__ void load_box_4d(void* shared, const TensorMap* map, std::uint64_t* barrier, int c0, int c1,
                                            int c2, int c3,
                                            emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const int coordinates[] = {c0, c1, c2, c3};
  emulation::load_tensor(shared, map, barrier, coordinates, nullptr, location);
}

__device__ __forceinline__ void load_im2col(void* shared, const TensorMap* map, std::uint64_t* barrier, int c, int w,
                                            int h, int n, int offset_w, int offset_h,
                                            emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const int coordinates[] = {c, w, h, n};
  const std::uint16_t offsets[] = {static_cast<std::uint16_t>(offset_w), static_cast<std::uint16_t>(offset_h)};
  emulation::load_tensor(shared, map, barrier, coordinates, offsets, location);
}

__device__ __forceinline__ void prefetch_tensor_map(const TensorMap* map) { (void)map; }

__device__ __forceinline__ void fence_proxy_async() { emulation::fence_proxy_async(); }

__device__ __forceinline__ std::uint64_t operand_descriptor(const void* shared, std::uint32_t leading) {
  return static_cast<std::uint64_t>((shared_address_32(shared) & 0x3FFFF) >> 4) |
         static_cast<std::uint64_t>((leading & 0x3FFFF) >> 4) << 16 | std::uint64_t{1024 >> 4} << 32 |
         std::uint64_t{1} << 62;
}

__device__ __forceinline__ void wgmma_fence(emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::wgmma_fence(location);
}

__device__ __forceinline__ void wgmma_commit(emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::wgmma_commit(location);
}

template <int N>
__device__ __forceinline__ void wgmma_wait(emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::wgmma_wait(N, location);
}

template <int kN, bool kMajorMNA, bool kMajorMNB>
__device__ __forceinline__ void wgmma_bf16(float (&sums)[kN / 8][4], std::uint64_t a, std::uint64_t b, bool accumulate,
                                           emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::wgmma({&sums[0][0], a, b, kN, accumulate, kMajorMNA, kMajorMNB}, location);
}

template <int kTiles>
__device__ __forceinline__ void hold_registers(float (&sums)[kTiles][4]) {
  (void)sums;
}

}  // namespace gradamp::GRADAMP_GPU
