// SPDX-License-Identifier: MIT
// The instructions that C++ lacks: the only file with inline PTX. For kernel files only. Its twin ptx_emulated.h has
// the same wrappers in the same order for the emulator; a test compares the two lists.
//
// The layouts are those of the PTX ISA manual, "Matrix Fragments for mma.m16n8k16 with floating point type", "... for
// mma.m16n8k8" and "ldmatrix". The number of a lane is 4 group + member: group is 0 to 7, member is 0 to 3.
//
// The 16 x 8 result of an mma, where each number is the lane that holds the element:
//
//     column     0  1    2  3    4  5    6  7
//     row  0     0  0    1  1    2  2    3  3     group 0: d[0] is the left element of a pair, d[1] the right one
//     row  1     4  4    5  5    6  6    7  7     group 1
//     ...
//     row  7    28 28   29 29   30 30   31 31     group 7
//     row  8     0  0    1  1    2  2    3  3     group 0 again: d[2] and d[3]
//     ...
//     row 15    28 28   29 29   30 30   31 31
//
// So the lanes of one column differ in `group` alone: __shfl_xor_sync over distances 4, 8 and 16 sums a column.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

#if defined(GRADAMP_EMULATION)

#include "gradamp/kernels/cuda/ptx_emulated.h"

#elif defined(__CUDACC__)

namespace gradamp::GRADAMP_GPU {

/// The address within shared memory, as PTX requires it.
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/// The value rounded to the nearest tf32, ties away from zero: 32 bits, of which the lowest 13 have no meaning.
__device__ __forceinline__ std::uint32_t to_tf32(float value) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
}

/// d += a b for a warp's MT x NT tiles of 16 x 8, over a depth of 16: bf16 products, f32 sums. All 32 lanes take part.
///
/// The registers of a lane, for each tile, as (row, column) of a (16 x 16), b (16 x 8) and d (16 x 8). A register has
/// two bf16, the one with the lower column (of b: the lower row) in the low half:
///     a[0]  (group,     2 member + {0, 1})        b[0]  (2 member + {0, 1}, group)
///     a[1]  (group + 8, 2 member + {0, 1})        b[1]  (2 member + {8, 9}, group)
///     a[2]  (group,     2 member + {8, 9})        d[0], d[1]  (group,     2 member + {0, 1})
///     a[3]  (group + 8, 2 member + {8, 9})        d[2], d[3]  (group + 8, 2 member + {0, 1})
template <int MT, int NT>
__device__ __forceinline__ void mma_tile_bf16(float (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4],
                                              const std::uint32_t (&b)[NT][2]) {
#pragma unroll
  for (int i = 0; i < MT; ++i) {
#pragma unroll
    for (int j = 0; j < NT; ++j) {
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(d[i][j][0]), "+f"(d[i][j][1]), "+f"(d[i][j][2]), "+f"(d[i][j][3])
          : "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j][0]), "r"(b[j][1]));
    }
  }
}

/// The same over a depth of 8, with one tf32 operand per register. The lowest 13 bits are ignored:
///     a[0]  (group,     member)                   b[0]  (member,     group)
///     a[1]  (group + 8, member)                   b[1]  (member + 4, group)
///     a[2]  (group,     member + 4)               d[0], d[1]  (group,     2 member + {0, 1})
///     a[3]  (group + 8, member + 4)               d[2], d[3]  (group + 8, 2 member + {0, 1})
template <int MT, int NT>
__device__ __forceinline__ void mma_tile_tf32(float (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4],
                                              const std::uint32_t (&b)[NT][2]) {
#pragma unroll
  for (int i = 0; i < MT; ++i) {
#pragma unroll
    for (int j = 0; j < NT; ++j) {
      asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(d[i][j][0]), "+f"(d[i][j][1]), "+f"(d[i][j][2]), "+f"(d[i][j][3])
          : "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j][0]), "r"(b[j][1]));
    }
  }
}

/// Loads four matrices of 8 x 8 two-byte values from shared memory, one per register. Lane 8 m + r gives the address of
/// row r of matrix m, a multiple of 16. A lane receives row `group`, columns 2 member + {0, 1} of each matrix.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&registers)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
}

/// The same with each matrix transposed: a lane receives rows 2 member + {0, 1} of column `group`.
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&registers)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
}

/// Starts a copy of 16 bytes from global to shared memory, both aligned to 16, that bypasses the first-level cache. If
/// not `valid`, it stores zeros and reads nothing (zfill). This thread sees the bytes after a cp_async_wait.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
               : "memory");
}

/// Begins to load the 128 bytes around an address in global memory into the second-level cache.
__device__ __forceinline__ void prefetch_to_l2(const void* global) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
}

/// threadIdx.x and blockIdx.x, read anew. A kernel that is short of registers uses them behind its main loop: what it
/// computes from them there is not computed before the loop and kept.
__device__ __forceinline__ int thread_index_anew() {
  int index;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
}
__device__ __forceinline__ int block_index_anew() {
  int index;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(index));
  return index;
}

/// Closes a group of copies: those that this thread started since the last commit.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits for all of this thread's groups except the last N. Other threads see the bytes after a barrier.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

}  // namespace gradamp::GRADAMP_GPU

#endif
