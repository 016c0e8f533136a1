// SPDX-License-Identifier: MIT
// StatisticsDevice: where the sums of gradients are, and what adds to them. gradamp_statistics.cpp turns its results
// into measures.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gradamp/kernels/cpu/layer_measures.h"
#include "gradamp/kernels/statistics/gradient_sums.h"
#include "gradamp/kernels/statistics/statistics_plan.h"

namespace gradamp {

/// Sums over the weights (neurons) of a group.
struct GroupSums {
  LayerSums layer;
  double signed_sum = 0;      // Σ S
  std::int64_t positive = 0;  // those with A > 0
  std::int64_t agreeing =
      0;  // of these, those with |S| = A: equal to the bit if all signs were, then both rounded alike
};

/// A copy of the whole state, on the host.
struct StatisticsState {
  std::vector<GradientTotals> totals;  // of each task, over the iterations
  std::vector<float> signed_sums, absolute_sums;
};

/// Threads: one at a time. `gradients` and `types`: as for gradamp_statistics_accumulate, of valid types.
class StatisticsDevice {
 public:
  virtual ~StatisticsDevice() = default;

  /// Adds an iteration. A device may return before it is done.
  virtual void accumulate(const void* const* gradients, const std::int32_t* types) = 0;
  virtual void scale(void* const* gradients, const std::int32_t* types, const float* factors) = 0;
  virtual void reset() = 0;

  // These wait for all earlier calls.
  virtual std::vector<GroupSums> group_sums() = 0;  // of each group of the plan
  virtual std::vector<GradientTotals> totals() = 0;
  virtual StatisticsState read() = 0;
  virtual void write(const StatisticsState& state) = 0;

  /// Where calls are put from now on. Only for a GPU.
  virtual void set_stream(void* stream) = 0;
};

/// The plan must outlive it. Error if GRADAMP_ISA names no instruction set of this processor, or it is too old.
std::unique_ptr<StatisticsDevice> make_cpu_statistics(const StatisticsPlan& plan, int threads);

}  // namespace gradamp
