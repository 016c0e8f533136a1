// SPDX-License-Identifier: MIT
// Other ways to reduce over the arena, for comparison with the engine's: CUB's, and with atomic additions. Only the
// benchmarks use them, and they run in a separate stream.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gradamp/bench/bench_support.h"
#include "gradamp/core/backend.h"

namespace gradamp::bench {

/// The computed quantity, with its result (ArenaWork::result).
enum class ArenaReduction {
  kLayerAbsolute,  // sum of |g| of each layer: f32 (layers)
  kWholeAbsolute,  // sum of |g| of the whole arena: f32 (1)
  kLayerSums,      // sums of |S|, A and |S| / A of each layer: f64 (layers, 3)
  kNeuronStep,     // Backend::sgd_step with sums by neuron; the result is in the arena
};

/// The tensors of one reduction.
struct ArenaWork {
  const Arena& arena;
  Tensor result;
  // Only kNeuronStep uses these.
  Tensor factors;
  StepState state;
  SgdParams params;
};

class ArenaReference {
 public:
  virtual ~ArenaReference() = default;

  virtual bool has(ArenaReduction reduction) const = 0;
  /// Returns a call that puts the reduction into the queue. It owns its working memory; `work` must outlive it.
  virtual std::function<void()> prepare(ArenaReduction reduction, const ArenaWork& work) = 0;
  /// Returns a call that overwrites `memory`, which is larger than the device's caches.
  virtual std::function<void()> prepare_flush(const Tensor& memory) = 0;
  virtual WorkQueue queue() = 0;
};

/// A reference or null, and its description: "CUB 3.0.1", or "left out: CUB ..." with the reason.
struct ArenaReferenceChoice {
  std::unique_ptr<ArenaReference> reference;
  std::string description;
};
/// Never throws Error: a reference that cannot be used is left out.
ArenaReferenceChoice make_cub_reference(const Device& device);
ArenaReferenceChoice make_atomic_reference(const Device& device);

}  // namespace gradamp::bench
