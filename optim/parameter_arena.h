// SPDX-License-Identifier: MIT
// ParameterArena: all parameters of a network in one flat allocation, with a table of the layers. Gradients, momentum
// and the sums of the statistics have the same layout, so one kernel updates everything.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/layers/module.h"

namespace gradamp {

/// A parameter's range in the arena.
struct ArenaParameter {
  std::string name;  // "layer1.0.conv1.weight"
  Variable variable;
  std::int64_t begin = 0;  // elements from the arena's start, a multiple of kArenaAlignment
  std::int64_t count = 0;
};

/// A layer with parameters. Its index in ParameterArena::layers() is its index in factors and measures.
struct ArenaLayer {
  std::string name;  // "layer1.0.conv1"
  LayerType type = LayerType::kConv;
  Layer* layer = nullptr;  // the network's
  LayerRange range;
  std::vector<ArenaParameter> parameters;  // a weight and at most a bias, or those of your own layer
};

/// Elements; 64 bytes of float32.
inline constexpr std::int64_t kArenaAlignment = 16;

class ParameterArena {
 public:
  /// Moves the parameters of `network` into an arena, values unchanged. The network must outlive the arena and can
  /// belong to only one. Error if there is no parameter, or if a parameter is not frozen and belongs to no Layer, since
  /// it would not be trained.
  explicit ParameterArena(Module& network);

  const Arena& arena() const { return arena_; }
  const std::vector<ArenaLayer>& layers() const { return layers_; }
  /// Number of trained elements of all layers, without padding.
  std::int64_t parameter_count() const;

  /// Call it before a step's backward: marks all gradients as not received.
  void begin_step() const;
  /// Call it after the backward: zeros the gradients that were not received.
  void finish_gradients() const;

  /// Allocates AdamW's second moments, zeroed.
  void enable_second_moments();
  /// No weight decay of tensors of one dimension: the parameters of batch norms, and the biases of all layers.
  void exempt_norms_and_biases();
  /// Allocates the sums, zeroed, unless they exist with this granularity.
  void enable_statistics(Granularity granularity);
  void clear_sums() const;
  /// Number of sums: one per element of the arena, or one per neuron. Error if a layer has no neurons to sum by.
  std::int64_t sum_count(Granularity granularity) const;

 private:
  Backend* backend_;
  Arena arena_;
  std::vector<ArenaLayer> layers_;
};

}  // namespace gradamp
