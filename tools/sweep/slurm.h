// SPDX-License-Identifier: MIT
// Runs a sweep as Slurm job arrays with one task per run: arrays for the shared beginnings, and arrays for the cells,
// which wait for the first. Two minutes before the time limit, Slurm signals a task to stop. Its run is saved, and the
// task is requeued and resumes it. What was submitted is remembered (slurm_record.h), so that a second submission sends
// only runs that are neither finished nor queued nor running.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

struct SlurmOptions {
  std::string text;                      // the sweep's file
  std::vector<SweepOverride> overrides;  // for all cells of the sweep
  std::string sbatch;                    // further options of sbatch, as a shell reads them
  std::string prologue;                  // commands for the scripts, from read_prologue()
  std::optional<int> max_tasks;          // that run at the same time, of this submission
};

/// Error if the folder's path has a control character: a line #SBATCH, which ends at a line break, cannot hold it.
void check_slurm_folder(const SweepFolder& folder);
/// The file's text. Error if it cannot be read, or has a line #SBATCH, a carriage return or a NUL.
std::string read_prologue(const std::filesystem::path& file);

/// Writes the scripts FOLDER/slurm/beginnings-N.sh and FOLDER/slurm/cells-N.sh and a copy of the sweep's file for them.
/// Submits each, and prints the jobs' numbers. An array has no more indices than Slurm allows. Error if there is no
/// sbatch, sbatch or squeue fails, or a run is queued or running with other settings.
void submit_to_slurm(const SweepFolder& folder, const SlurmOptions& options);

/// Adds what Slurm says of the submitted runs to their reports. Returns a warning if Slurm does not answer.
std::optional<std::string> add_slurm_tasks(const SweepFolder& folder, std::vector<JobReport>& reports);

/// The processors of a task with these options of sbatch: --cpus-per-task, or Slurm's default of 1.
int processors_of_task(const std::string& sbatch);
/// The time limit in minutes, for --time, of a task that trains for `seconds`.
std::int64_t suggested_minutes(double seconds);
/// The margin of suggested_minutes, in words.
inline constexpr const char* kMarginWords = "plus half of that and 5 min to start and save";

}  // namespace gradamp
