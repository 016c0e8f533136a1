// SPDX-License-Identifier: MIT
// Submits one run to Slurm, as a job array with one task.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gradamp/tools/settings/settings.h"
#include "gradamp/tools/slurm/slurm_script.h"

namespace gradamp {

struct RunSubmission : SlurmOptions {
  RunSettings settings;                // validated, with the run folder
  std::filesystem::path branch;        // folder of the run to branch from; empty: none
  int last_epoch = 0;                  // the run ends after this epoch; 0: the strategy's last
  std::vector<std::string> arguments;  // further ones of `train`, for the run's beginning and when it is resumed
};

/// Error if the run cannot be submitted: as check_slurm_folder, if its shards do not allow this number of ranks, or if
/// its folder has a run with other settings.
void check_submission(const RunSubmission& run);
/// The script of its job. `minutes`: the time limit; 0: none.
std::string run_script(const RunSubmission& run, std::int64_t minutes);

/// Writes the script RUN/slurm/run-N.sh and submits it. Prints the job's number, or that the run is finished, queued or
/// running: then nothing is submitted. Error if there is no sbatch, sbatch or squeue fails, the run is queued or
/// running with other settings, or as check_submission.
void submit_run(const RunSubmission& run);

}  // namespace gradamp
