// SPDX-License-Identifier: MIT
// Estimates the time of an epoch from steps that are measured on this machine.
#pragma once

#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// Seconds per image in training and in evaluation.
struct ImageTimes {
  double training, evaluation;
};
/// Measures the times with two training steps and one evaluation batch, after the same work as a warm-up. Uses images
/// of the run's dataset, because their shape affects the time.
ImageTimes measure_image_times(RunSettings settings);
/// The time of an epoch of a run, with its evaluation.
double epoch_seconds(const RunSettings& settings, const ImageTimes& times);

}  // namespace gradamp
