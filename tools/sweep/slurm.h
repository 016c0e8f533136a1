// SPDX-License-Identifier: MIT
// Runs a sweep as Slurm job arrays with one task per run: arrays for the shared beginnings, and arrays for the cells,
// which wait for the first. A second submission sends only runs that are neither finished nor queued nor running
// (tools/slurm).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gradamp/tools/slurm/slurm_script.h"
#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

struct SweepSubmission : SlurmOptions {
  std::string text;                      // the sweep's file
  std::vector<SweepOverride> overrides;  // for all cells of the sweep
  std::optional<int> max_tasks;          // that run at the same time, of this submission
};

/// Error if the sweep cannot be submitted: as check_slurm_folder, or a run's shards do not allow this number of ranks.
void check_submission(const SweepFolder& folder, int ranks);

/// Writes the scripts FOLDER/slurm/beginnings-N.sh and FOLDER/slurm/cells-N.sh and a copy of the sweep's file for them.
/// Submits each, and prints the jobs' numbers. An array has no more indices than Slurm allows. Error if there is no
/// sbatch, sbatch or squeue fails, a run is queued or running with other settings, or as check_submission.
void submit_to_slurm(const SweepFolder& folder, const SweepSubmission& options);

/// Adds what Slurm says of the submitted runs to their reports. Returns a warning if Slurm does not answer.
std::optional<std::string> add_slurm_tasks(const SweepFolder& folder, std::vector<JobReport>& reports);

}  // namespace gradamp
