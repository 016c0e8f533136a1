// SPDX-License-Identifier: MIT
// Learning rates that change from step to step.
#pragma once

#include <cstdint>

namespace gradamp {

/// How the learning rate changes over a run of T steps, t = 0, ..., T - 1. Momentum is never cycled.
enum class Schedule {
  /// The learning rates of the strategy's phases.
  kPhases,
  /// peak (1 + cos(pi t / T)) / 2: PyTorch's CosineAnnealingLR with T_max = T and eta_min = 0 (I. Loshchilov, F.
  /// Hutter,
  /// "SGDR: stochastic gradient descent with warm restarts", 2017, without restarts).
  kCosine,
  /// From peak / 25 up to the peak at step 0.3 T - 1, then down to peak / 250000 at step T - 1, both along a half
  /// cosine: PyTorch's OneCycleLR with total_steps = T, its defaults and cycle_momentum=False (L. N. Smith, N. Topin,
  /// "Super-convergence", 2018).
  kOneCycle,
};

/// The learning rate of step `step` of a run of `steps` steps, divided by the schedule's peak; for kPhases divided by
/// the phase's rate. A warm-up of W = warmup_steps steps raises the rate linearly: step t < W has (t + 1) / (W + 1) of
/// the rate, which is PyTorch's LinearLR with start_factor = 1 / (W + 1) and total_iters = W. Under kCosine the cosine
/// is over the T - W steps after it (SequentialLR with the milestone W). kOneCycle has a warm-up of its own: W must be
/// 0. Error unless 0 <= step < steps, and under kCosine W < steps.
double schedule_factor(Schedule schedule, std::int64_t warmup_steps, std::int64_t step, std::int64_t steps);

}  // namespace gradamp
