// SPDX-License-Identifier: MIT
// What the optimizer's steps on the CPU have in common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/core/bf16.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {

/// Checks all gradients before anything is changed, and adds to the sums by neuron if they are accumulated. False, with
/// nothing changed, if the step is bad or an earlier one was.
bool begin_arena_step(const Arena& arena, const StepState& state, bool accumulate, Granularity granularity,
                      int threads);

/// The weight decay of the arena's elements.
class ArenaDecays {
 public:
  ArenaDecays(const Arena& arena, float weight_decay)
      : scales_(arena.decay_scales.defined() ? arena.decay_scales.data<float>() : nullptr),
        weight_decay_(weight_decay) {}

  /// Calls body(decay, first, last) for the longest parts of [begin, end) with one decay. Both are multiples of
  /// kDecayGroup.
  template <typename Body>
  void for_each_run(std::int64_t begin, std::int64_t end, const Body& body) const {
    if (scales_ == nullptr) return body(weight_decay_, begin, end);
    while (begin < end) {
      const float scale = scales_[begin / kDecayGroup];
      std::int64_t last = begin + kDecayGroup;
      while (last < end && scales_[last / kDecayGroup] == scale) last += kDecayGroup;
      body(scale * weight_decay_, begin, last);
      begin = last;
    }
  }

 private:
  const float* scales_;
  float weight_decay_;
};

/// Calls body(layer, begin, end) for ranges of elements that are one layer's, on the threads, and then copies the
/// weights of the range to their bf16 copy.
template <typename Body>
void for_each_layer_part(const Arena& arena, int threads, const Body& body) {
  static_assert(kElementwiseGrain % kArenaChunk == 0);
  const std::vector<LayerRange>& layers = arena.layers.ranges();
  const float* const weights = arena.weights.data<float>();
  Bf16* const copy = arena.weights_bf16.defined() ? arena.weights_bf16.data<Bf16>() : nullptr;
  parallel_ranges(threads, layers.back().end, kElementwiseGrain, [&](std::int64_t first, std::int64_t last) {
    const auto ends_before = [](const LayerRange& layer, std::int64_t element) { return layer.end <= element; };
    auto layer = std::lower_bound(layers.begin(), layers.end(), first, ends_before);
    for (; layer != layers.end() && layer->begin < last; ++layer) {
      const std::int64_t begin = std::max(first, layer->begin), end = std::min(last, layer->end);
      if (begin >= end) continue;
      body(static_cast<std::size_t>(layer - layers.begin()), begin, end);
      if (copy == nullptr) continue;
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) copy[i] = weights[i];
    }
  });
}

}  // namespace gradamp
