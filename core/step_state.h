// SPDX-License-Identifier: MIT
// StepState: the position of a run, in device memory.
#pragma once

#include <cstdint>

#include "gradamp/core/step_counters.h"
#include "gradamp/core/tensor.h"

namespace gradamp {

class Backend;

/// The run's state that a step reads and writes. It is in device memory so that every step has the same launches.
/// Threads: as for its Backend.
struct StepState {
  Tensor counters;       // i64 (kStepCounterCount)
  Tensor metrics;        // f64 (kStepMetricCount)
  Tensor learning_rate;  // f32 (1)

  /// Sets the position to the beginning of `epoch` (from 1) and the epoch's metrics to zero. Not inside a recording.
  void begin_epoch(int epoch) const;
  /// Reads one of the counters; waits for the device.
  std::int64_t counter(StepCounter index) const;
};

/// The state before a run's first step: the seed, all else zero.
StepState make_step_state(Backend& backend, std::uint64_t seed);

}  // namespace gradamp
