// SPDX-License-Identifier: MIT
// A sweep's folder:
//     sweep.toml           the sweep's file
//     cells/NAME/          a run's folder for each cell
//     beginnings/NAME/     and for each shared beginning
//     logs/NAME.log        what the run printed; locked while it is at work
//     failures/NAME.txt    why it ended, where it failed
//     slurm/               what was submitted to Slurm, and what its tasks printed
//     lock                 held while sweep.toml or a file of failures/ is written
// The state of a run is what these files say, whoever wrote them: two sweeps on one folder share its work.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/tools/sweep/sweep.h"

namespace gradamp {

/// A run of a sweep: a cell or a shared beginning.
struct SweepJob {
  std::string name;
  RunSettings settings;  // with its run folder
  int epochs = 0;        // to train: of a beginning those that are shared
  bool is_cell = true;
  std::optional<std::size_t> beginning;  // the job that it branches from
  std::filesystem::path log, failure;
};

enum class JobState { kPending, kRunning, kInterrupted, kFailed, kDone };

/// "pending", "running", "interrupted", "failed", "done".
const char* name_of(JobState state);

struct JobReport {
  JobState state = JobState::kPending;
  int epochs_done = 0;                  // by itself or in its beginning
  double seconds_of_epoch = 0;          // of the last one; 0 before the first
  std::optional<double> test_accuracy;  // of the last epoch
  std::string failure;                  // one line, where it failed
};

class SweepFolder {
 public:
  /// Writes nothing.
  SweepFolder(std::filesystem::path path, const std::vector<SweepCell>& cells);
  /// Error where a run in the folder has other settings than its cell now has.
  void check_settings() const;

  const std::filesystem::path& path() const { return path_; }
  /// Beginnings first.
  const std::vector<SweepJob>& jobs() const { return jobs_; }
  /// From the files as they are now.
  JobReport report(const SweepJob& job) const;
  std::vector<JobReport> reports() const;
  bool is_done(const SweepJob& job) const;
  /// Whether it can only begin by branching: it has a beginning, and no checkpoint of its own yet.
  bool needs_beginning(const SweepJob& job) const;
  /// Of a beginning, whether a cell that is not done needs it; true of a cell.
  bool is_needed(std::size_t job) const;

  /// Makes the folders and writes the sweep's file.
  void write(const std::string& text) const;
  /// Empty: it has not failed after all.
  void write_failure(const SweepJob& job, const std::string& reason) const;
  /// Removes what a run left that ended before its first checkpoint: it will be started anew. No other process may be
  /// running it.
  void discard_unstarted_run(const SweepJob& job) const;
  /// The program's arguments that start the job or resume it. `threads`: the number if the settings leave it open.
  std::vector<std::string> command_line(const SweepJob& job, int threads) const;

 private:
  JobReport read_report(const SweepJob& job) const;

  std::filesystem::path path_;
  std::vector<SweepJob> jobs_;
};

/// Why a run that ended with `exit_code` failed: the last line it printed, or how it ended.
std::string failure_reason(const std::filesystem::path& log, int exit_code);

}  // namespace gradamp
