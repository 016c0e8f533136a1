// SPDX-License-Identifier: MIT
// How long a sweep will take, by steps measured on this machine.
#pragma once

#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

/// Seconds of all that is still to be done, one run after the other. Trains two steps of each kind of run, with as many
/// threads as it has where `jobs_at_a_time` are trained beside each other.
double estimate_seconds(const SweepFolder& folder, const std::vector<JobReport>& reports, int jobs_at_a_time);

}  // namespace gradamp
