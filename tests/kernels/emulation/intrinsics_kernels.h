// SPDX-License-Identifier: MIT
// Kernels that record the results of CUDA's thread intrinsics.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

struct ThreadPosition {
  int thread[3], block[3], block_size[3], grid_size[3];
};
/// positions[i] for the i-th thread of the grid.
void run_thread_positions(dim3 grid, dim3 block, ThreadPosition* positions);

/// Each thread writes to shared memory and reads its mirror image's value, `rounds` times:
/// output[i] = rounds * (n - 1 - i).
void run_mirror(int threads, int rounds, int* output);
/// In round r, threads below limits[r] vote yes. Records the results of count, or, and, per thread and round.
void run_block_votes(int threads, int rounds, const int* limits, int* counts, int* ors, int* ands);

enum class ShuffleWord { kIndex, kXor, kUp, kDown };
/// One warp: lane l passes 100 + l and receives output[l].
template <typename T>
void run_shuffle(ShuffleWord word, int argument, int width, T* output);
/// Two halves of a warp, each with its own mask: the lower adds its 16 lanes, the upper broadcasts lane 31's index.
void run_half_shuffles(int* output);

/// One warp: lane l votes with bit l of `predicates`. Records the results of ballot, any and all.
void run_votes(std::uint32_t predicates, std::uint32_t* ballots, int* anys, int* alls);
/// Lanes 0 to 9 vote among themselves, and so do the others; even lanes vote yes.
void run_masked_ballots(std::uint32_t* ballots);

/// A warp in which each lane waits for the previous one, through shared memory and __syncwarp:
/// output[l] = l (l + 1) / 2.
void run_warp_scan(int* output);

struct AtomicResults {
  int add_int, sub_int, min_int, max_int;
  unsigned add_unsigned, or_unsigned, and_unsigned, xor_unsigned, inc_unsigned, exchange_unsigned, cas_unsigned;
  unsigned long long add_long, max_long;
  float add_float;
  double add_double;
};
/// 4 blocks of 64 threads, with numbers i from 0 to 255, apply each atomic with i to *results. old_add[i] is the value
/// that thread i receives when it adds 1 to add_unsigned, old_exchange[i] when it exchanges i.
void run_atomics(AtomicResults* results, unsigned* old_add, unsigned* old_exchange);

/// Copies by accesses of 4, 8 or 16 bytes, streaming or not.
void run_vector_copy(int bytes_at_once, bool streaming, const std::byte* source, std::byte* target, int bytes);

/// The results of the arithmetic intrinsics for given values; intrinsics_test.cpp has the expected ones.
struct MathResults {
  int popc, clz, ffs, mulhi, float_bits;
  unsigned umulhi;
  float back_from_bits, rsqrt, exp, exp_fast, erfc, fma, reciprocal, product, smaller, larger;
  bool is_finite, is_nan;
  int smaller_int, larger_int;
};
void run_math(float value, float other, int bits, MathResults* result);

/// The last block to finish adds the values of all blocks: *output = the sum of the numbers below blocks * 64.
void run_last_block_sum(int blocks, int* partial, unsigned* counter, int* output);

}  // namespace gradamp::GRADAMP_GPU
