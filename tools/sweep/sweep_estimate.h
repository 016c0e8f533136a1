// SPDX-License-Identifier: MIT
// Estimates the duration of a sweep from steps that are measured on this machine.
#pragma once

#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

/// The seconds of remaining work of each run.
struct JobSeconds {
  std::vector<double> of_job;  // 0 for a run that is done
  bool is_measured = false;    // for at least one run a step was measured on this machine
};
/// Trains a few steps of each kind of run, with `threads` threads if the settings do not set their number. If
/// `uses_runs`, only kinds without a stored run that has trained an epoch are measured; for the others, the time of an
/// epoch is the longest last epoch of these runs.
JobSeconds estimate_job_seconds(const SweepFolder& folder, const std::vector<JobReport>& reports, int threads,
                                bool uses_runs);

}  // namespace gradamp
