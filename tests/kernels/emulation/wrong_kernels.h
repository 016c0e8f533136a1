// SPDX-License-Identifier: MIT
// Kernels that are wrong on purpose; some have a correct variant that differs by one line. The emulator must detect the
// mistakes.
#pragma once

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU::wrong {

// ---- barriers and warp operations ----

/// Half of the block waits at one barrier, the other half at another one.
void two_barriers(float* output);
/// Lanes 0 to 15 shuffle with lanes that wait at the barrier.
void collective_against_barrier(float* output);
/// Warps reach the barrier a different number of times.
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
/// Half of a warp calls mma at one source location, the other half at another.
void diverged_mma(float* output);
/// mma by 16 threads.
void mma_of_half_a_warp(float* output);

// ---- memory ----

/// Writes an array of 32 floats from element `shift` on.
void out_of_static_shared(float* output, int shift);
void out_of_dynamic_shared(float* output, int shift);
void out_of_global(float* output, int shift);
/// Reads `shift` floats beyond the thread's own.
void read_out_of_global(const float* input, float* output, int shift);
/// Loads 16 bytes at once from `shift` floats on.
void misaligned_load(const float* input, float* output, int shift);
void misaligned_ldmatrix(float* output, int shift);
void misaligned_async_copy(const float* input, float* output, int shift);
void async_copy_to_global(const float* input, float* output);
void too_much_static_shared(float* output);
void too_deep_stack(float* output, int depth);
void null_pointer(float* output);
/// Reads shared memory of which only odd elements have been written.
void unwritten_shared(float* output);
void unwritten_dynamic_shared(float* output);
/// Reads the target of an asynchronous copy, with or without waiting for the copy.
void async_copy(bool waits, const float* input, float* output);
/// Fails at a barrier while copies are in flight.
void failure_amid_copies(const float* input, float* output);

// ---- races; each with or without the synchronization that it needs ----

/// Each thread reads another warp's value: needs __syncthreads.
void reverse(bool synchronized, const float* input, float* output);
/// Each thread reads the previous thread's value: the result is right in ascending order.
void shift(bool synchronized, const float* input, float* output);
/// Each lane reads another lane's value: needs __syncwarp.
void reverse_warps(bool synchronized, const float* input, float* output);
/// Two pairs of lanes exchange values, each pair with its own __syncwarp; or with one for the wrong pairs.
void reverse_pairs(bool synchronized, const float* input, float* output);
/// The last thread that has read a value overwrites it. It knows by an atomic that it is the last, which is not
/// enough.
void overwrite(bool synchronized, const float* input, float* output);
/// The buffer is filled again before all have read it.
void refill(bool synchronized, const float* input, float* output);
/// The same with asynchronous copies.
void refill_async(bool synchronized, const float* input, float* output);
/// Every block adds to one number: needs an atomic.
void add_from_blocks(bool synchronized, float* output);
/// The last block adds the values of all blocks: needs fences on both sides of the atomic.
enum class Fences { kNone, kOnlyBefore, kOnlyAfter, kByOneThread, kByAllThreads };
void last_block(Fences fences, float* partial, unsigned* counter, float* output);
/// Each block, of one warp, reads the previous block's value. If blocks run in order, an atomic by lane 0 between two
/// fences orders them, or fences by all lanes. The other lanes need a barrier on both sides of it.
enum class Barrier { kNoneBefore, kNoneAfter, kOfWarp, kOfBlock };
void previous_block(Barrier barrier, bool all_fence, float* partial, unsigned* counter, float* output);
/// Correct: volatile accesses write and read shared memory, and one thread may write while others do.
void volatile_shared(float* output);
/// Stores 16-byte vectors to shared memory and loads them.
void reverse_vectors(bool synchronized, const float* input, float* output);

}  // namespace gradamp::GRADAMP_GPU::wrong
