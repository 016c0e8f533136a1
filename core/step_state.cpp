// SPDX-License-Identifier: MIT
#include "gradamp/core/step_state.h"

#include <span>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/core/error.h"

namespace gradamp {

void StepState::begin_epoch(int epoch) const {
  check(epoch >= 1, "expected an epoch from 1 on, got {}", epoch);
  std::vector<std::int64_t> values = counters.to_host<std::int64_t>();
  values[kEpoch] = epoch;
  values[kPosition] = 0;
  counters.copy_from_host(std::span<const std::int64_t>(values));
  metrics.fill_zero();
}

std::int64_t StepState::counter(StepCounter index) const {
  return counters.to_host<std::int64_t>()[static_cast<std::size_t>(index)];
}

StepState make_step_state(Backend& backend, std::uint64_t seed) {
  std::vector<std::int64_t> counters(kStepCounterCount, 0);
  counters[kSeed] = static_cast<std::int64_t>(seed);
  return {Tensor::from_host(backend, {kStepCounterCount}, counters),
          Tensor::zeros(backend, {kStepMetricCount}, DType::kF64), Tensor::zeros(backend, {1})};
}

}  // namespace gradamp
