// SPDX-License-Identifier: MIT
// Estimates the duration of a sweep and its disk space from steps that are measured on this machine.
#pragma once

#include <optional>
#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

/// What the remaining runs need.
struct SweepEstimate {
  std::vector<double> seconds_of_job;  // of its remaining work; 0 for a run that is done
  bool is_measured = false;            // for at least one run a step was measured on this machine
};
/// Trains a few steps of each kind of run, with `threads` threads if the settings do not set their number. The time is
/// divided by `ranks`, the processes that will train each run. If `uses_runs`, only kinds without a stored run that has
/// trained an epoch are measured; for the others, the time of an epoch is the longest last epoch of these runs.
SweepEstimate estimate_sweep(const SweepFolder& folder, const std::vector<JobReport>& reports, int threads, int ranks,
                             bool uses_runs);

/// About how many bytes the runs of the whole sweep have in the end, if all of them keep `keep`; without it, each by
/// its own setting.
double estimate_bytes(const SweepFolder& folder, std::optional<KeptFiles> keep = std::nullopt);

}  // namespace gradamp
