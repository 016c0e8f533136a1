// SPDX-License-Identifier: MIT
// The indices of a StepState's tensors, for host and device code.
#pragma once

namespace gradamp {

/// Indices in StepState::counters.
enum StepCounter : int {
  kSeed,          // of every random number of the run
  kEpoch,         // counted from 1
  kStep,          // steps done since the run began
  kPosition,      // images of this epoch that are done
  kFirstBadStep,  // 1 + the first step whose loss or gradient was not finite; 0: none
  kStepCounterCount,
};

/// Indices in StepState::metrics.
enum StepMetric : int {
  kLossSum,  // sum over the images of this epoch
  kCorrect,  // images of this epoch whose largest logit is that of their label
  kStepMetricCount,
};

}  // namespace gradamp
