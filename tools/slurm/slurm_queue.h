// SPDX-License-Identifier: MIT
// Questions to Slurm, through its programs: the states of tasks, and the limits of the cluster.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/tools/slurm/slurm_record.h"

namespace gradamp {

struct CommandResult {
  std::string output;  // standard output and standard error
  int exit_code = 0;   // 127: the shell did not find the program; 128 + the signal that ended it
};
/// Runs a command of the shell and waits for it. Error if that is not possible.
CommandResult run_command(const std::string& command);
/// The lines of a program's output as one line of a message.
std::string one_line(const std::string& output);

struct SlurmTask {
  enum Phase { kQueued, kRunning, kEnded };
  std::string job, id;  // "12", "12_3"
  Phase phase = kEnded;
  std::string state;           // Slurm's word: "TIMEOUT"
  std::uint32_t settings = 0;  // of the run
};

/// The phase of a task with this state of Slurm's, such as "PENDING". A state that is unknown here counts as queued.
SlurmTask::Phase phase_of(const std::string& state);

/// The task of each submitted run that Slurm still knows: of several the one that is queued or running, else the last.
/// Finds the jobs of submissions whose number is missing by their scripts in the folder `scripts`, and appends the
/// result to the record if `writes`. Error if squeue fails, or is missing although there are submissions.
std::map<std::string, SlurmTask> find_tasks(SlurmRecord& record, const std::filesystem::path& scripts, bool writes);
/// Adds the ended tasks of submitted runs that are not in `tasks`, from sacct. Adds nothing if sacct is missing or
/// fails, as on clusters without accounting.
void add_accounted_tasks(const SlurmRecord& record, std::map<std::string, SlurmTask>& tasks);

/// The number of indices that an array may have: MaxArraySize, or max_array_tasks if that is lower. Slurm's default if
/// scontrol does not say.
std::size_t max_array_size();
/// The value of MaxArraySize and max_array_tasks in the output of `scontrol show config`.
std::size_t max_array_size_in(const std::string& configuration);

/// The value of an option in options for sbatch: `name` is "--time", `letter` is 't', or 0 if it has none. Of several
/// the last. Nothing if it is not given.
std::optional<std::string> sbatch_option(const std::string& options, const std::string& name, char letter);
/// The time limit in minutes of the partitions `names` (comma-separated; empty: the default one), in the output of
/// sinfo with the format %P|%l; of several the highest. Nothing if there is none or it is not known.
std::optional<std::int64_t> partition_minutes_in(const std::string& partitions, const std::string& names);

}  // namespace gradamp
