// SPDX-License-Identifier: MIT
// The one file with inline PTX: each wrapper with its emulated twin beside it. For kernel files only.
//
// Layouts are those of the PTX ISA manual, "Matrix Fragments for mma.m16n8k16 with floating point type", "... for
// mma.m16n8k8" and "ldmatrix". A lane's number is 4 group + member, with group from 0 to 7 and member from 0 to 3.
#pragma once

#include <cstdint>

#include "kernels/cuda/cuda.h"

#if defined(GRADAMP_EMULATION)
// The place in the source that the emulator's messages name: one more argument, which callers leave out.
#define GRADAMP_SITE , emulation::Site site = emulation::Site::here()
#else
#define GRADAMP_SITE
#endif

namespace gradamp::GRADAMP_GPU {

#if defined(GRADAMP_EMULATION) || defined(__CUDACC__)

/// The value rounded to tf32, to the nearest, ties away from zero: 32 bits, of which the lowest 13 mean nothing.
__device__ __forceinline__ std::uint32_t to_tf32(float value) {
#if defined(GRADAMP_EMULATION)
  const std::uint32_t bits = __float_as_uint(value);
  if (isnan(value)) return 0x7FFFFFFFu;
  return (isinf(value) ? bits : bits + 0x1000u) & 0xFFFFE000u;
#else
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#endif
}

#if !defined(GRADAMP_EMULATION)

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4],
                                                 const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

#endif

/// d += a b for a warp's MT x NT tiles of 16 x 8, over a depth of 16: bf16 products, f32 sums. All 32 lanes take part.
///
/// A lane holds of each tile, as (row, column) of a (16 x 16), b (16 x 8) and d (16 x 8); two bf16 in a register, the
/// lower column (of b: row) in the low half:
///     a[0]  (group,     2 member + {0, 1})        b[0]  (2 member + {0, 1}, group)
///     a[1]  (group + 8, 2 member + {0, 1})        b[1]  (2 member + {8, 9}, group)
///     a[2]  (group,     2 member + {8, 9})        d[0], d[1]  (group,     2 member + {0, 1})
///     a[3]  (group + 8, 2 member + {8, 9})        d[2], d[3]  (group + 8, 2 member + {0, 1})
template <int MT, int NT>
__device__ __forceinline__ void mma_tile_bf16(float (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4],
                                              const std::uint32_t (&b)[NT][2] GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::mma(emulation::MmaType::kBF16, {&d[0][0][0], &a[0][0], &b[0][0], MT, NT}, site);
#else
#pragma unroll
  for (int i = 0; i < MT; ++i)
#pragma unroll
    for (int j = 0; j < NT; ++j) mma_m16n8k16_bf16(d[i][j], a[i], b[j]);
#endif
}

/// The same over a depth of 8, with tf32 operands, one a register; their lowest 13 bits are not looked at:
///     a[0]  (group,     member)                   b[0]  (member,     group)
///     a[1]  (group + 8, member)                   b[1]  (member + 4, group)
///     a[2]  (group,     member + 4)               d[0], d[1]  (group,     2 member + {0, 1})
///     a[3]  (group + 8, member + 4)               d[2], d[3]  (group + 8, 2 member + {0, 1})
template <int MT, int NT>
__device__ __forceinline__ void mma_tile_tf32(float (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4],
                                              const std::uint32_t (&b)[NT][2] GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::mma(emulation::MmaType::kTF32, {&d[0][0][0], &a[0][0], &b[0][0], MT, NT}, site);
#else
#pragma unroll
  for (int i = 0; i < MT; ++i)
#pragma unroll
    for (int j = 0; j < NT; ++j) mma_m16n8k8_tf32(d[i][j], a[i], b[j]);
#endif
}

/// Four matrices of 8 x 8 two-byte values from shared memory, one a register. Lane 8 m + r gives the address of row r
/// of matrix m, a multiple of 16. A lane gets of each matrix row `group`, columns 2 member + {0, 1}.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&registers)[4], const void* row GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::ldmatrix(registers, row, 4, false, site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

/// Each matrix transposed: a lane gets rows 2 member + {0, 1} of column `group`.
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&registers)[4], const void* row GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::ldmatrix(registers, row, 4, true, site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

/// Two matrices: the addresses are those of lanes 0 to 15, the other lanes' are not looked at.
__device__ __forceinline__ void ldmatrix_x2(std::uint32_t (&registers)[2], const void* row GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::ldmatrix(registers, row, 2, false, site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(registers[0]), "=r"(registers[1])
               : "r"(shared_address(row))
               : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x2_trans(std::uint32_t (&registers)[2], const void* row GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::ldmatrix(registers, row, 2, true, site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(registers[0]), "=r"(registers[1])
               : "r"(shared_address(row))
               : "memory");
#endif
}

/// Begins to copy 16 bytes from global to shared memory, both aligned to 16, past the first-level cache. Where not
/// `valid`, zeros arrive and nothing is read. They have arrived, for this thread, after a cp_async_wait.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::begin_async_copy(shared, global, 16, valid, site);
#else
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
#endif
}

/// The same for 4 bytes, through the first-level cache.
__device__ __forceinline__ void cp_async_4(void* shared, const void* global, bool valid GRADAMP_SITE) {
#if defined(GRADAMP_EMULATION)
  emulation::begin_async_copy(shared, global, 4, valid, site);
#else
  const int bytes = valid ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
#endif
}

/// Ends a group of copies: those this thread began since the last commit.
__device__ __forceinline__ void cp_async_commit() {
#if defined(GRADAMP_EMULATION)
  emulation::commit_async_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits for all of this thread's groups but the last N. Other threads need a barrier after it.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
#if defined(GRADAMP_EMULATION)
  emulation::wait_async_copies(N);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

#endif

}  // namespace gradamp::GRADAMP_GPU

#undef GRADAMP_SITE
