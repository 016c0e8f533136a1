// SPDX-License-Identifier: MIT
// Kernels that are wrong on purpose, each beside a right one where the difference is a line: what the emulator must
// find.
#pragma once

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU::wrong {

// ---- waiting in vain ----

/// Half of the block waits at a barrier, the other half at another one.
void two_barriers(float* output);
/// Lanes 0 to 15 shuffle with lanes that wait at the barrier.
void collective_against_barrier(float* output);
/// Warps come to the barrier a different number of times.
void uneven_barriers(float* output);
/// Threads from `count` on return before the barrier.
void early_return(float* output, int count);
/// Lanes from `count` on return before a shuffle that names them.
void early_return_of_lanes(float* output, int count);
/// Odd lanes shuffle while even lanes vote.
void diverged_warp(float* output);
/// Lanes call the same shuffle with different masks.
void different_masks(float* output);
void lane_outside_its_mask(float* output);
/// Half of a warp calls mma at one place, the other half at another.
void diverged_mma(float* output);
/// mma by 16 threads.
void mma_of_half_a_warp(float* output);

// ---- memory ----

/// Writes an array of 32 floats from element `shift` on.
void out_of_static_shared(float* output, int shift);
void out_of_dynamic_shared(float* output, int shift);
void out_of_global(float* output, int shift);
/// Reads `shift` floats from the thread's own.
void read_out_of_global(const float* input, float* output, int shift);
/// 16 bytes at once from `shift` floats on.
void misaligned_load(const float* input, float* output, int shift);
void misaligned_ldmatrix(float* output, int shift);
void misaligned_async_copy(const float* input, float* output, int shift);
void async_copy_to_global(const float* input, float* output);
void too_much_static_shared(float* output);
void too_deep_stack(float* output, int depth);
void null_pointer(float* output);
/// Reads shared memory of which only odd elements were written.
void unwritten_shared(float* output);
void unwritten_dynamic_shared(float* output);
/// Reads what an asynchronous copy brings, with or without waiting for it.
void async_copy(bool waits, const float* input, float* output);
/// Fails at a barrier while copies are under way.
void failure_amid_copies(const float* input, float* output);

// ---- races; each with the synchronization that it needs, or without ----

/// Each thread reads another warp's value: needs __syncthreads.
void reverse(bool synchronized, const float* input, float* output);
/// Each thread reads the value of the one before: comes out right in ascending order.
void shift(bool synchronized, const float* input, float* output);
/// Each lane reads another lane's value: needs __syncwarp.
void reverse_warps(bool synchronized, const float* input, float* output);
/// Two pairs of lanes exchange values, each with __syncwarp of its own; or of the wrong pairs.
void reverse_pairs(bool synchronized, const float* input, float* output);
/// The last thread to have read a value overwrites it; that it is the last it knows from an atomic, which is not
/// enough.
void overwrite(bool synchronized, const float* input, float* output);
/// The buffer is filled again before all have read it.
void refill(bool synchronized, const float* input, float* output);
/// The same by asynchronous copies.
void refill_async(bool synchronized, const float* input, float* output);
/// Every block adds to one number: needs an atomic.
void add_from_blocks(bool synchronized, float* output);
/// The last block adds what all wrote: needs fences on both sides of the atomic.
enum class Fences { kNone, kOnlyBefore, kOnlyAfter, kByOneThread, kByAllThreads };
void last_block(Fences fences, float* partial, unsigned* counter, float* output);
/// Each block, of one warp, reads what the one before it wrote. Where blocks run in order, an atomic by lane 0 between
/// two fences orders them; or fences by all lanes. The other lanes need a barrier on both sides of it.
enum class Barrier { kNoneBefore, kNoneAfter, kOfWarp, kOfBlock };
void previous_block(Barrier barrier, bool all_fence, float* partial, unsigned* counter, float* output);
/// Nothing is wrong: volatile accesses write and read shared memory, and one thread may write while others do.
void volatile_shared(float* output);
/// Vectors of 16 bytes go to shared memory and back.
void reverse_vectors(bool synchronized, const float* input, float* output);

}  // namespace gradamp::GRADAMP_GPU::wrong
