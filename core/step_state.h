// SPDX-License-Identifier: MIT
// StepState: where a run is, in device memory.
#pragma once

#include <cstdint>

#include "gradamp/core/step_places.h"
#include "gradamp/core/tensor.h"

namespace gradamp {

class Backend;

/// What a step reads and writes of the run, in device memory, so that a step's launches are the same every time.
struct StepState {
  Tensor counters;       // i64 (kStepCounterCount)
  Tensor metrics;        // f64 (kStepMetricCount)
  Tensor learning_rate;  // f32 (1)

  /// The position is the beginning of `epoch` (from 1), and the sums of the epoch are zero. Not inside a recording.
  void begin_epoch(int epoch) const;
  /// One of the counters. Waits for the device.
  std::int64_t counter(StepCounter place) const;
};

/// Of a run that begins: counters with the seed, zeros elsewhere.
StepState make_step_state(Backend& backend, std::uint64_t seed);

}  // namespace gradamp
