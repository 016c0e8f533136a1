// SPDX-License-Identifier: MIT
// Launches of reductions that end in atomic additions, for the benchmarks: they measure the cost of determinism.
// Pointers are to device memory.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/optimizer.h"

namespace gradamp::GRADAMP_GPU {

/// Adds |S|, A and |S| / A of every layer to totals (layers, 3).
void launch_atomic_layer_sums(cudaStream_t stream, const ArenaPointers& arena, double* totals);

/// Adds the gradients of the weights and the bias of every neuron to neuron_gradients (neurons). Like
/// launch_neuron_gradients, it marks counters[kFirstBadStep] if a gradient is not finite.
void launch_atomic_neuron_gradients(cudaStream_t stream, const ArenaPointers& arena, float* neuron_gradients,
                                    std::int64_t* counters);

}  // namespace gradamp::GRADAMP_GPU
