// SPDX-License-Identifier: MIT
// Launches of the optimizer's kernels over the flat arena: gradient statistics, SGD, measures and selection. Pointers
// are device pointers; `counters` are StepState's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/core/amplification.h"
#include "gradamp/core/step_counters.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// The arena: f32 arrays of `count` elements, a multiple of kArenaChunk, and its layer table (core/layer_table.h).
struct ArenaPointers {
  std::int64_t count;
  float *weights, *momentum;
  bf16* weights_bf16;  // or null
  const float* gradients;
  float *signed_sums, *absolute_sums;  // per weight or per neuron
  const LayerRange* layers;
  int layer_count;
  const std::int32_t* chunk_layers;
  const std::int32_t* neuron_layers;
  int neurons;
};

/// learning_rate[0] = rates[counters[kStep] mod count].
void launch_set_learning_rate(cudaStream_t stream, const float* rates, std::int64_t count, const std::int64_t* counters,
                              float* learning_rate);

/// If a gradient is not finite, marks counters[kFirstBadStep], unless it is already marked.
void launch_find_bad_gradient(cudaStream_t stream, const ArenaPointers& arena, std::int64_t* counters);

/// Like launch_find_bad_gradient; also computes neuron_gradients (neurons): per neuron the sum of its weights'
/// gradients.
void launch_neuron_gradients(cudaStream_t stream, const ArenaPointers& arena, float* neuron_gradients,
                             std::int64_t* counters);

/// Statistics and update in one pass, unless a bad step is marked. neuron_gradients: from launch_neuron_gradients if
/// sums are accumulated per neuron, else null.
void launch_sgd(cudaStream_t stream, const ArenaPointers& arena, const SgdParams& params, const float* factors,
                const float* learning_rate, const float* neuron_gradients, const std::int64_t* counters);

/// launch_sgd with the weight decay of each group of kDecayGroup weights multiplied by its value in decay_scales.
void launch_sgd_some_decay(cudaStream_t stream, const ArenaPointers& arena, const SgdParams& params,
                           const float* factors, const float* learning_rate, const float* decay_scales,
                           const float* neuron_gradients, const std::int64_t* counters);

/// What launch_adamw needs beside the arena, whose `momentum` has the first moments.
struct AdamWPointers {
  float* second_moments;
  const float *factors, *learning_rate;
  const float* gradient_scale;    // or null: 1
  const float* decay_scales;      // or null: all weights decay
  const float* neuron_gradients;  // as for launch_sgd
  const std::int64_t* counters;
};
/// Workspace of launch_adamw, in floats.
std::size_t adamw_workspace();
/// Statistics and AdamW's update in one pass, unless a bad step is marked.
void launch_adamw(cudaStream_t stream, const ArenaPointers& arena, const AdamWParams& params,
                  const AdamWPointers& pointers, float* workspace);

/// Workspace of launch_clip_scale, in doubles.
std::size_t clip_workspace(std::int64_t count);
/// *scale = min(1, max_norm / (norm of the gradients + kClipEpsilon)); 1 if that is no number.
void launch_clip_scale(cudaStream_t stream, std::int64_t count, const float* gradients, double max_norm,
                       double* workspace, float* scale);
/// Adds the gradients to the arena's sums, unless a bad step is marked. neuron_gradients: as for launch_sgd.
void launch_accumulate(cudaStream_t stream, const ArenaPointers& arena, const float* neuron_gradients,
                       const std::int64_t* counters);

/// Workspace of launch_measures, in doubles.
std::size_t measures_workspace(int layers);
/// Computes measures (kMeasureCount, layers).
void launch_measures(cudaStream_t stream, const ArenaPointers& arena, Granularity granularity, double* measures,
                     double* workspace);
void launch_select(cudaStream_t stream, int layers, const SelectionParams& params, const double* measures,
                   float* factors);

/// Sets factors[c] of each of `count` candidates c, depending on whether c is drawn. indices: workspace (count).
void launch_select_random(cudaStream_t stream, int count, const std::int32_t* candidates,
                          const RandomSelectionParams& params, std::int32_t* indices, float* factors);

}  // namespace gradamp::GRADAMP_GPU
