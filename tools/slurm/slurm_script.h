// SPDX-License-Identifier: MIT
// The script of a job array of Slurm. Each task runs one command of the program, in one process or several (ranks, see
// tools/ranks). Two minutes before the time limit, Slurm signals a task to stop. Its run is saved, and the task is
// requeued and resumes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gradamp {

/// What a user gives for --slurm.
struct SlurmOptions {
  std::string sbatch;    // further options of sbatch, as a shell reads them
  std::string prologue;  // commands for the scripts, from read_prologue()
  int ranks = 1;         // processes of each run
};

struct SlurmScript {
  std::string name;            // of the job
  std::string tasks;           // "0-3,7": the array's indices
  std::filesystem::path logs;  // folder of the tasks' output, JOB_TASK.log
  std::int64_t minutes = 0;    // the time limit; 0: none is set
  /// One command, which may use SLURM_ARRAY_TASK_ID. It begins the processes of the run with "${launcher[@]}".
  std::string command;
  std::string before_command = {};  // lines of bash
};

/// The script that `bash` runs for each task.
std::string script_text(const SlurmScript& script, const SlurmOptions& options);
/// The numbers, which are sorted, as ranges: "0-3,7".
std::string ranges_of(const std::vector<std::size_t>& numbers);
/// The path of this program.
std::filesystem::path own_program();

/// Error if the path has a control character: a line #SBATCH, which ends at a line break, cannot hold it. `option`
/// names the folder, for the message.
void check_slurm_folder(const std::filesystem::path& folder, const char* option);
/// The file's text. Error if it cannot be read, or has a line #SBATCH, a carriage return or a NUL.
std::string read_prologue(const std::filesystem::path& file);

}  // namespace gradamp
