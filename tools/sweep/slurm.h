// SPDX-License-Identifier: MIT
// A sweep as Slurm's job arrays: one of its shared beginnings, and one of its cells that waits for them; a task a run.
// Two minutes before the time limit a task is asked to stop; its run is saved, and the task requeued and resumed.
#pragma once

#include <string>
#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

struct SlurmOptions {
  std::string text;                      // the sweep's file
  std::vector<SweepOverride> overrides;  // of the sweep's cells
  std::string sbatch;                    // further options of sbatch, as a shell reads them
};

/// Writes FOLDER/slurm/beginnings.sh and cells.sh and a copy of the sweep's file that stays theirs, submits what has
/// something left to do, and prints the jobs' numbers. Error where there is no sbatch or it refuses.
void submit_to_slurm(const SweepFolder& folder, const SlurmOptions& options);

}  // namespace gradamp
