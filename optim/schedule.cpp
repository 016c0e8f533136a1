// SPDX-License-Identifier: MIT
#include "gradamp/optim/schedule.h"

#include <cmath>
#include <numbers>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

/// From `begin` at fraction 0 to `end` at fraction 1, along a half cosine.
double anneal(double begin, double end, double fraction) {
  return end + (begin - end) / 2 * (std::cos(std::numbers::pi * fraction) + 1);
}

double one_cycle(double step, double steps) {
  constexpr double kRise = 0.3, kStart = 1.0 / 25, kEnd = kStart / 1e4;  // PyTorch's pct_start and div factors
  const double top = kRise * steps - 1, last = steps - 1;
  return step <= top ? anneal(kStart, 1, step / top) : anneal(1, kEnd, (step - top) / (last - top));
}

}  // namespace

double schedule_factor(Schedule schedule, std::int64_t warmup_steps, std::int64_t step, std::int64_t steps) {
  check(step >= 0 && step < steps, "expected a step from 0 to {}, got {}", steps - 1, step);
  if (schedule == Schedule::kOneCycle) {
    check(warmup_steps == 0, "the one-cycle schedule has a warm-up of its own: expected 0 warm-up steps, got {}",
          warmup_steps);
    return one_cycle(static_cast<double>(step), static_cast<double>(steps));
  }
  check(schedule != Schedule::kCosine || warmup_steps < steps,
        "expected a warm-up of fewer steps than the run's {}, got {}", steps, warmup_steps);
  if (step < warmup_steps) return (static_cast<double>(step) + 1) / (static_cast<double>(warmup_steps) + 1);
  if (schedule == Schedule::kPhases) return 1;
  return anneal(1, 0, static_cast<double>(step - warmup_steps) / static_cast<double>(steps - warmup_steps));
}

}  // namespace gradamp
