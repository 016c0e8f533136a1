// SPDX-License-Identifier: MIT
// Estimates the duration of a sweep from steps that are measured on this machine.
#pragma once

#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

/// The seconds of all remaining work if the runs are trained one after the other. Trains a few steps of each kind of
/// run, with the number of threads that a run has if `jobs_at_a_time` jobs run concurrently.
double estimate_seconds(const SweepFolder& folder, const std::vector<JobReport>& reports, int jobs_at_a_time);

}  // namespace gradamp
