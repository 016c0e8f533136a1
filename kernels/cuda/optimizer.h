// SPDX-License-Identifier: MIT
// Launches of the optimizer's kernels over the flat arena: gradient statistics, SGD, measures and selection. Pointers
// are to device memory; `counters` are StepState's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/parameters.h"
#include "kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// The arena: f32 of `count` elements, whole chunks of kArenaChunk, and the table of its layers (core/layer_table.h).
struct ArenaPointers {
  std::int64_t count;
  float *weights, *momentum;
  bf16* weights_bf16;  // or null
  const float* gradients;
  float *signed_sums, *absolute_sums;  // by weight or by neuron
  const LayerRange* layers;
  int layer_count;
  const std::int32_t* chunk_layers;
  const std::int32_t* neuron_layers;
  int neurons;
};

/// Marks counters[kFirstBadStep], unless it is marked, where a gradient is not finite.
void launch_find_bad_gradient(cudaStream_t stream, const ArenaPointers& arena, std::int64_t* counters);

/// The same, and the gradient of every neuron, the sum over the weights that lead into it: neuron_gradients (neurons).
void launch_neuron_gradients(cudaStream_t stream, const ArenaPointers& arena, float* neuron_gradients,
                             std::int64_t* counters);

/// Statistics and update in one pass, unless a bad step is marked. neuron_gradients: of launch_neuron_gradients where
/// sums by neuron are accumulated, else null.
void launch_sgd(cudaStream_t stream, const ArenaPointers& arena, const SgdParams& params, const float* factors,
                const float* learning_rate, const float* neuron_gradients, const std::int64_t* counters);

/// Doubles of working memory that launch_measures needs.
std::size_t measures_workspace(int layers);
/// measures (kMeasureCount, layers).
void launch_measures(cudaStream_t stream, const ArenaPointers& arena, Granularity granularity, double* measures,
                     double* workspace);
void launch_select(cudaStream_t stream, int layers, const SelectionParams& params, const double* measures,
                   float* factors);

/// factors[c] for each of `count` candidates c: drawn or not. indices: working memory (count).
void launch_select_random(cudaStream_t stream, int count, const std::int32_t* candidates,
                          const RandomSelectionParams& params, std::int32_t* indices, float* factors);

}  // namespace gradamp::GRADAMP_GPU
