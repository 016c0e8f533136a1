// SPDX-License-Identifier: MIT
// What is where in a StepState, for host and device code alike.
#pragma once

namespace gradamp {

/// Places in StepState::counters.
enum StepCounter : int {
  kSeed,          // of every random number of the run
  kEpoch,         // counted from 1
  kStep,          // steps done since the run began
  kPosition,      // images of this epoch done
  kFirstBadStep,  // 1 + the first step whose loss or gradient was not finite; 0: none
  kStepCounterCount,
};

/// Places in StepState::metrics.
enum StepMetric : int {
  kLossSum,  // sum over the images of this epoch
  kCorrect,  // images whose largest logit was their label's
  kStepMetricCount,
};

}  // namespace gradamp
