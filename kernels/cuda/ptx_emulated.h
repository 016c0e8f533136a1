// SPDX-License-Identifier: MIT
// The emulator's version of ptx.h, which documents the wrappers: the same wrappers in the same order. Kernel files
// include ptx.h.
//
// `location` is the source location for the emulator's messages; callers omit it.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

__device__ __forceinline__ std::uint32_t to_tf32(float value) {
  const std::uint32_t bits = __float_as_uint(value);
  // Matches an H100: infinities and NaNs are truncated. A NaN whose top 10 fraction bits are zero becomes infinity.
  return (isfinite(value) ? bits + 0x1000u : bits) & 0xFFFFE000u;
}

template <int MT, int NT>
__device__ __forceinline__ void mma_tile_bf16(float (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4],
                                              const std::uint32_t (&b)[NT][2],
                                              emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::mma(emulation::MmaType::kBF16, {&d[0][0][0], &a[0][0], &b[0][0], MT, NT}, location);
}

template <int MT, int NT>
__device__ __forceinline__ void mma_tile_tf32(float (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4],
                                              const std::uint32_t (&b)[NT][2],
                                              emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::mma(emulation::MmaType::kTF32, {&d[0][0][0], &a[0][0], &b[0][0], MT, NT}, location);
}

__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&registers)[4], const void* row,
                                            emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::ldmatrix(registers, row, 4, false, location);
}

__device__ __forceinline__ void ldmatrix_x4_trans(
    std::uint32_t (&registers)[4], const void* row,
    emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::ldmatrix(registers, row, 4, true, location);
}

__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid,
                                            emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::begin_async_copy(shared, global, 16, valid, location);
}

__device__ __forceinline__ void prefetch_to_l2(const void* global) { (void)global; }

__device__ __forceinline__ int thread_index_anew() { return static_cast<int>(threadIdx.x); }
__device__ __forceinline__ int block_index_anew() { return static_cast<int>(blockIdx.x); }

__device__ __forceinline__ void cp_async_commit() { emulation::commit_async_copies(); }

template <int N>
__device__ __forceinline__ void cp_async_wait() {
  emulation::wait_async_copies(N);
}

}  // namespace gradamp::GRADAMP_GPU
