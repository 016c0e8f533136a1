// SPDX-License-Identifier: MIT
// One subject of optimizer_bench: a variant of the optimizer's step or of a reduction, on an arena of random numbers,
// verified against float64.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "gradamp/bench/arena_reference.h"
#include "gradamp/bench/bench_support.h"

namespace gradamp::bench {

enum class Variant {
  // Computed by the engine.
  kSgd,
  kAdamW,
  kAdamWByWeight,
  kByWeight,
  kByNeuron,
  kStatisticsAlone,
  kSeparate,
  kMeasures,
  // Computed by references, which not every device has.
  kByNeuronAtomic,
  kMeasuresAtomic,
  kCubMeasures,
  kCubAbsolute,
  kCubWhole,
};

struct Kind {
  Variant variant = Variant::kSgd;
  bool bf16_copy = false;
};

/// The reference's reduction; none for variants that the engine computes.
std::optional<ArenaReduction> reduction_of(Variant variant);

/// Memory that a variant needs, the arena included, in bytes per weight.
std::int64_t bytes_held(const Kind& kind);
/// Minimum memory traffic of a call, in bytes per weight.
std::int64_t bytes_moved(const Kind& kind);
/// Whether a call checks all gradients before it uses them.
bool looks_first(Variant variant);

class OptimizerProblem {
 public:
  /// `reference` computes the variants that have a reduction_of(); for other variants it is null.
  OptimizerProblem(Backend& backend, const std::vector<LayerRange>& layers, const Kind& kind,
                   ArenaReference* reference);
  OptimizerProblem(const OptimizerProblem&) = delete;
  OptimizerProblem& operator=(const OptimizerProblem&) = delete;
  ~OptimizerProblem();

  std::int64_t count() const { return arena_.gradients.count(); }
  /// Issues one call into the queue; does not wait.
  void call() const { call_(); }
  WorkQueue queue() const;
  /// Returns a call that overwrites `memory` in the same queue.
  std::function<void()> prepare_flush(const Tensor& memory) const;
  /// Computes once and compares with float64. Error if they disagree.
  void verify() const;

 private:
  void call_engine() const;
  void run() const;
  /// Elements of the arena before the step; the second moments only for AdamW.
  struct StepInputs {
    std::vector<float> weights, gradients, momentum, second_moments;
  };
  void verify_step(const StepInputs& before) const;
  void verify_sums(const std::vector<float>& g) const;
  void verify_neurons() const;
  void verify_reduction() const;
  void set_sums() const;
  std::vector<double> layer_absolute() const;

  Backend& backend_;
  Kind kind_;
  ArenaReference* reference_;
  Arena arena_;
  Tensor factors_, positive_part_, result_;
  StepState state_;
  std::function<void()> call_;
};

}  // namespace gradamp::bench
