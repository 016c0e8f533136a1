// SPDX-License-Identifier: MIT
// ParameterArena: every parameter of a network in one flat allocation (and so are gradients, momentum and the sums of
// the statistics), with a table of the layers, so that the optimizer is one kernel over everything.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/layers/module.h"

namespace gradamp {

/// A parameter's place in the arena.
struct ArenaParameter {
  std::string name;  // "layer1.0.conv1.weight"
  Variable variable;
  std::int64_t begin = 0;  // elements from the arena's start, a multiple of kArenaAlignment
  std::int64_t count = 0;
};

/// A layer with parameters. Its place in ParameterArena::layers() is its index in factors and measures.
struct ArenaLayer {
  std::string name;  // "layer1.0.conv1"
  LayerType type = LayerType::kConv;
  Layer* layer = nullptr;  // the network's
  LayerRange range;
  std::vector<ArenaParameter> parameters;  // a weight and perhaps a bias, or a layer's own
};

/// Elements; 64 bytes of float32.
inline constexpr std::int64_t kArenaAlignment = 16;

class ParameterArena {
 public:
  /// Moves the parameters of `network` into an arena, values unchanged; the network must outlive it, and belongs to one
  /// arena at most. Error where there is no parameter, or one that is not frozen and belongs to no Layer, since it
  /// would not be trained.
  explicit ParameterArena(Module& network);

  const Arena& arena() const { return arena_; }
  const std::vector<ArenaLayer>& layers() const { return layers_; }
  /// n of all layers: trained elements, without padding.
  std::int64_t parameter_count() const;

  /// Before a step's backward: forgets the gradients.
  void begin_step() const;
  /// After it: zeros for the parameters that received no gradient.
  void finish_gradients() const;

  /// Allocates the sums, zeroed, where there are none of this granularity yet.
  void enable_statistics(Granularity granularity);
  void clear_sums() const;

 private:
  Backend* backend_;
  Arena arena_;
  std::vector<ArenaLayer> layers_;
};

}  // namespace gradamp
