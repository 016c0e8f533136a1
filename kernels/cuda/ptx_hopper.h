// SPDX-License-Identifier: MIT
// Inline PTX for sm_90a: mbarriers, tensor loads (TMA) and products of a warpgroup (wgmma). For kernel files only. Its
// twin ptx_hopper_emulated.h has the same wrappers in the same order for the emulator; a test compares the two lists.
// README.md explains the instructions, "Hopper's instructions".
//
// A kernel that uses it is empty unless GRADAMP_SM90A is defined: under the emulator, and compiled for sm_90a.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

#if defined(GRADAMP_EMULATION) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GRADAMP_SM90A 1
#endif

#if defined(GRADAMP_EMULATION)

#include "gradamp/kernels/cuda/ptx_hopper_emulated.h"

#else

#include <cuda.h>  // CUtensorMap

namespace gradamp::GRADAMP_GPU {

/// Describes a tensor and the boxes that TMA loads from it: tensor_map.h. A kernel takes it as a
/// `const __grid_constant__ TensorMap` parameter and passes the parameter's address.
using TensorMap = CUtensorMap;

#if defined(__CUDACC__)

/// A pointer into shared memory as PTX's 32-bit address.
__device__ __forceinline__ std::uint32_t shared_address_32(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// ---- mbarriers ----

/// A phase of the barrier is complete after `arrivals` arrivals, and when all bytes that they announced were copied.
/// Then the next phase begins.
__device__ __forceinline__ void mbarrier_init(std::uint64_t* barrier, std::uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address_32(barrier)), "r"(arrivals) : "memory");
}

/// Call it after mbarrier_init, in the same thread, before TMA uses the barriers. Other threads also need a
/// __syncthreads.
__device__ __forceinline__ void fence_mbarrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address_32(barrier)) : "memory");
}

/// Announces bytes that the phase waits for, then arrives.
__device__ __forceinline__ void mbarrier_arrive_expect(std::uint64_t* barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address_32(barrier)), "r"(bytes)
               : "memory");
}

/// Waits until the phase of this parity is complete. The first phase has parity 0. (The one before it counts as
/// complete: at the beginning a wait for parity 1 returns at once.)
__device__ __forceinline__ void mbarrier_wait(std::uint64_t* barrier, std::uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "WAIT_%=:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra WAIT_%=;\n"
      "}" ::"r"(shared_address_32(barrier)),
      "r"(parity)
      : "memory");
}

/// A barrier of `threads` of the block's threads, whole warps. `id` is 1 to 15; __syncthreads is 0.
__device__ __forceinline__ void named_barrier(int id, int threads) {
  asm volatile("barrier.cta.sync.aligned %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- TMA ----

/// True in one lane of a warp, all of whose 32 lanes must call it. ptxas then knows that one lane runs; with `if (lane
/// == 0)` it puts a loop over the lanes around each load.
__device__ __forceinline__ bool elect_lane() {
  std::uint32_t elected;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "elect.sync _|p, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(elected));
  return elected != 0;
}

/// Starts to load a box of a matrix to shared memory, aligned to 1024. c0: the box's first element along dimension 0,
/// the innermost. The bytes count on `barrier`, including those of elements outside the tensor, which are zeros.
__device__ __forceinline__ void load_box_2d(void* shared, const TensorMap* map, std::uint64_t* barrier, int c0,
                                            int c1) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          shared_address_32(shared)),
      "l"(map), "r"(shared_address_32(barrier)), "r"(c0), "r"(c1)
      : "memory");
}

__device__ __forceinline__ void load_box_3d(void* shared, const TensorMap* map, std::uint64_t* barrier, int c0, int c1,
                                            int c2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(shared_address_32(shared)),
      "l"(map), "r"(shared_address_32(barrier)), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
}

__device__ __forceinline__ void load_box_4d(void* shared, const TensorMap* map, std::uint64_t* barrier, int c0, int c1,
                                            int c2, int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(shared_address_32(shared)),
      "l"(map), "r"(shared_address_32(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}

/// The same for pixels of an image tensor (N, H, W, C). The first pixel is (n, h, w); the walk from there follows the
/// map's bounding box and steps. Each pixel is read `offset_w` and `offset_h` from there, which are not negative.
__device__ __forceinline__ void load_im2col(void* shared, const TensorMap* map, std::uint64_t* barrier, int c, int w,
                                            int h, int n, int offset_w, int offset_h) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, "
      "%6}], [%2], {%7, %8};" ::"r"(shared_address_32(shared)),
      "l"(map), "r"(shared_address_32(barrier)), "r"(c), "r"(w), "r"(h), "r"(n),
      "h"(static_cast<std::uint16_t>(offset_w)), "h"(static_cast<std::uint16_t>(offset_h))
      : "memory");
}

__device__ __forceinline__ void prefetch_tensor_map(const TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// The stores of this thread to shared memory become visible to TMA and wgmma.
__device__ __forceinline__ void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// ---- wgmma ----

/// The location of an operand in shared memory, with a swizzle of 128 bytes. K-major: a row of 128 bytes has 64 depths
/// of one m (or n), 8 rows are 1024 bytes, `leading` has no meaning. MN-major: a row has 64 m (or n) of one depth, 8
/// rows are 1024 bytes, and the next 64 m (or n) begin `leading` bytes after these.
__device__ __forceinline__ std::uint64_t operand_descriptor(const void* shared, std::uint32_t leading) {
  return static_cast<std::uint64_t>((shared_address_32(shared) & 0x3FFFF) >> 4) |
         static_cast<std::uint64_t>((leading & 0x3FFFF) >> 4) << 16 | std::uint64_t{1024 >> 4} << 32 |
         std::uint64_t{1} << 62;
}

/// Call it before the first wgmma, and again after other instructions accessed the registers of one.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/// Closes a group of products: those since the last commit.
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/// Waits for all groups except the last N. Call it unconditionally, and access no accumulators between a product and
/// the wait: otherwise ptxas serializes the products (C7514).
template <int N>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

#if defined(GRADAMP_SM90A)

// clang-format off
#define GRADAMP_REGISTERS_0_31 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GRADAMP_REGISTERS_32_63 \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define GRADAMP_REGISTERS_64_127 \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define GRADAMP_TILE(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define GRADAMP_TILES_8(i) \
  GRADAMP_TILE(i), GRADAMP_TILE(i + 1), GRADAMP_TILE(i + 2), GRADAMP_TILE(i + 3), \
  GRADAMP_TILE(i + 4), GRADAMP_TILE(i + 5), GRADAMP_TILE(i + 6), GRADAMP_TILE(i + 7)
// A, B: the registers of the descriptors. P: the one of `accumulate`. MAJOR_A, MAJOR_B: 1 if MN-major.
#define GRADAMP_WGMMA(N, REGISTERS, A, B, P, MAJOR_A, MAJOR_B) \
  "{\n.reg .pred p;\nsetp.ne.b32 p, %" P ", 0;\n" \
  "wgmma.mma_async.sync.aligned.m64n" N "k16.f32.bf16.bf16 {" REGISTERS "}, " \
  "%" A ", %" B ", p, 1, 1, %" MAJOR_A ", %" MAJOR_B ";\n}"
// clang-format on

template <bool kMajorMNA, bool kMajorMNB>
__device__ __forceinline__ void wgmma_m64k16(float (&d)[8][4], std::uint64_t a, std::uint64_t b, int accumulate) {
  asm volatile(GRADAMP_WGMMA("64", GRADAMP_REGISTERS_0_31, "32", "33", "34", "35", "36")
               : GRADAMP_TILES_8(0)
               : "l"(a), "l"(b), "r"(accumulate), "n"(kMajorMNA ? 1 : 0), "n"(kMajorMNB ? 1 : 0));
}
template <bool kMajorMNA, bool kMajorMNB>
__device__ __forceinline__ void wgmma_m64k16(float (&d)[16][4], std::uint64_t a, std::uint64_t b, int accumulate) {
  asm volatile(GRADAMP_WGMMA("128", GRADAMP_REGISTERS_0_31 ", " GRADAMP_REGISTERS_32_63, "64", "65", "66", "67", "68")
               : GRADAMP_TILES_8(0), GRADAMP_TILES_8(8)
               : "l"(a), "l"(b), "r"(accumulate), "n"(kMajorMNA ? 1 : 0), "n"(kMajorMNB ? 1 : 0));
}
template <bool kMajorMNA, bool kMajorMNB>
__device__ __forceinline__ void wgmma_m64k16(float (&d)[32][4], std::uint64_t a, std::uint64_t b, int accumulate) {
  asm volatile(GRADAMP_WGMMA("256", GRADAMP_REGISTERS_0_31 ", " GRADAMP_REGISTERS_32_63 ", " GRADAMP_REGISTERS_64_127,
                             "128", "129", "130", "131", "132")
               : GRADAMP_TILES_8(0), GRADAMP_TILES_8(8), GRADAMP_TILES_8(16), GRADAMP_TILES_8(24)
               : "l"(a), "l"(b), "r"(accumulate), "n"(kMajorMNA ? 1 : 0), "n"(kMajorMNB ? 1 : 0));
}

#undef GRADAMP_WGMMA
#undef GRADAMP_TILES_8
#undef GRADAMP_TILE
#undef GRADAMP_REGISTERS_64_127
#undef GRADAMP_REGISTERS_32_63
#undef GRADAMP_REGISTERS_0_31

#endif

/// sums = a b, or sums + a b if `accumulate`, over a depth of 16, for the 64 rows of a warpgroup: bf16 products, f32
/// sums. Takes effect at a wgmma_wait. Warp w has the rows 16 (w mod 4) to 16 (w mod 4) + 15; a lane holds of these 16
/// x kN what it holds of the tiles of mma_tile_bf16 (ptx.h). kN is 64, 128 or 256.
template <int kN, bool kMajorMNA, bool kMajorMNB>
__device__ __forceinline__ void wgmma_bf16(float (&sums)[kN / 8][4], std::uint64_t a, std::uint64_t b,
                                           bool accumulate) {
#if defined(GRADAMP_SM90A)
  wgmma_m64k16<kMajorMNA, kMajorMNB>(sums, a, b, accumulate);
#endif
}

/// Keeps the compiler from moving accesses to the registers across this point.
template <int kTiles>
__device__ __forceinline__ void hold_registers(float (&sums)[kTiles][4]) {
#pragma unroll
  for (int i = 0; i < kTiles; ++i)
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+f"(sums[i][e])::"memory");
}

#endif

}  // namespace gradamp::GRADAMP_GPU

#endif
