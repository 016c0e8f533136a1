// SPDX-License-Identifier: MIT
// How the optimizer's kernels divide the arena: a thread has four elements.
#pragma once

#include "gradamp/kernels/cuda/optimizer.h"

namespace gradamp::GRADAMP_GPU {

inline constexpr int kArenaThreads = 256;
/// Elements per block, four per thread.
inline constexpr int kArenaBlock = kArenaThreads * 4;

inline unsigned arena_blocks(std::int64_t count) {
  return static_cast<unsigned>((count + kArenaBlock - 1) / kArenaBlock);
}

/// Adds the neurons' gradients to their sums, with one thread of the grid per neuron.
__device__ __forceinline__ void accumulate_neurons(const ArenaPointers& arena, const float* neuron_gradients) {
  const auto threads = static_cast<int>(gridDim.x) * kArenaThreads;
  for (int n = static_cast<int>(blockIdx.x) * kArenaThreads + static_cast<int>(threadIdx.x); n < arena.neurons;
       n += threads) {
    arena.signed_sums[n] += neuron_gradients[n];
    arena.absolute_sums[n] += fabsf(neuron_gradients[n]);
  }
}

}  // namespace gradamp::GRADAMP_GPU
