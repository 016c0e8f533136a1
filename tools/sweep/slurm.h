// SPDX-License-Identifier: MIT
// Runs a sweep as two Slurm job arrays with one task per run: one array for the shared beginnings, and one for the
// cells, which waits for the first. Two minutes before the time limit, Slurm signals a task to stop. Its run is saved,
// and the task is requeued and resumes it.
#pragma once

#include <string>
#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

struct SlurmOptions {
  std::string text;                      // the sweep's file
  std::vector<SweepOverride> overrides;  // for all cells of the sweep
  std::string sbatch;                    // further options of sbatch, as a shell reads them
};

/// Error if the folder's path has a control character: a line #SBATCH, which ends at a line break, cannot hold it.
void check_slurm_folder(const SweepFolder& folder);
/// Writes FOLDER/slurm/beginnings.sh, FOLDER/slurm/cells.sh and a copy of the sweep's file for them. Submits each
/// script that has unfinished runs, and prints the jobs' numbers. Error if there is no sbatch or it fails.
void submit_to_slurm(const SweepFolder& folder, const SlurmOptions& options);

}  // namespace gradamp
