// SPDX-License-Identifier: MIT
// The indices of a StepState's tensors, for host and device code alike.
#pragma once

namespace gradamp {

/// Indices in StepState::counters.
enum StepCounter : int {
  kSeed,          // of every random number of the run
  kEpoch,         // counted from 1
  kStep,          // steps done since the run began
  kPosition,      // images of this epoch done
  kFirstBadStep,  // 1 + the first step whose loss or gradient was not finite; 0: none
  kStepCounterCount,
};

/// Indices in StepState::metrics.
enum StepMetric : int {
  kLossSum,  // sum over the images of this epoch
  kCorrect,  // images whose largest logit was their label's
  kStepMetricCount,
};

}  // namespace gradamp
