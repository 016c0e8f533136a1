// SPDX-License-Identifier: MIT
// A sweep's folder:
//     sweep.toml           the sweep's file
//     cells/NAME/          the run's folder of each cell
//     beginnings/NAME/     the run's folder of each shared beginning
//     logs/NAME.log        the output of the run; locked while it is running
//     failures/NAME.txt    the reason, if the run failed
//     slurm/               the scripts that were submitted to Slurm, their record, and the output of the tasks
//     lock                 locked while sweep.toml or a file in failures/ is written
// These files are the only state of a run, whichever process wrote them. So several processes can work on the same
// sweep.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/data/files/file_system.h"
#include "gradamp/tools/sweep/sweep.h"

namespace gradamp {

/// A run of a sweep: a cell or a shared beginning.
struct SweepJob {
  std::string name;
  RunSettings settings;  // with the run folder
  int epochs = 0;        // epochs to train; for a beginning, the number of shared epochs
  bool is_cell = true;
  std::optional<std::size_t> beginning;  // the job that it branches from
  std::filesystem::path log, failure;
};

/// The run folder tells all states but kQueued, which only Slurm knows (add_slurm_tasks).
enum class JobState { kPending, kQueued, kRunning, kInterrupted, kFailed, kDone };

/// "pending", "queued", "running", "interrupted", "failed", "done".
const char* name_of(JobState state);

struct JobReport {
  JobState state = JobState::kPending;
  int epochs_done = 0;                  // including the epochs copied from its beginning
  double seconds_of_epoch = 0;          // time of the last epoch; 0 before the first
  std::optional<double> test_accuracy;  // after the last epoch
  std::string failure;                  // the reason in one line, if the job failed
  std::string slurm;                    // its task in Slurm, if that is known: "Slurm 12_3", "Slurm 12_3 TIMEOUT"
  std::string difference;               // how the stored run's settings differ from the job's; empty: it can continue
};

/// The message for the user about a JobReport's difference.
std::string other_settings_message(const SweepJob& job, const std::string& difference);

class SweepFolder {
 public:
  /// Does not write any file.
  SweepFolder(std::filesystem::path path, const std::vector<SweepCell>& cells);
  /// Error if the settings of a stored run differ from those of its job.
  void check_settings() const;

  const std::filesystem::path& path() const { return path_; }
  /// All jobs: first the beginnings, then the cells.
  const std::vector<SweepJob>& jobs() const { return jobs_; }
  /// Reads the job's current state from its files.
  JobReport report(const SweepJob& job) const;
  /// The state of every job, read on all processors.
  std::vector<JobReport> reports() const;
  bool is_done(const SweepJob& job) const;
  /// Whether the job must branch from its beginning: it has one, and has no checkpoint of its own yet.
  bool needs_beginning(const SweepJob& job) const;
  /// For a beginning, whether an unfinished cell needs it. For a cell, true.
  bool is_needed(std::size_t job) const;

  /// Creates the folders and writes the sweep's file.
  void write(const std::string& text) const;
  /// Records why the job failed. An empty reason removes the record.
  void write_failure(const SweepJob& job, const std::string& reason) const;
  /// Removes the records of why the job failed, also the one in its run's folder: the job is done, and failed only
  /// after its last file was written.
  void forget_failure(const SweepJob& job) const;
  /// Removes the run's files if the run ended before its first checkpoint, so that it can start from the beginning. No
  /// other process may be running it. Other files in its folder stay.
  void discard_unstarted_run(const SweepJob& job) const;
  /// The program's arguments that start or resume the job. `threads` is used if the settings do not set the number of
  /// threads.
  std::vector<std::string> command_line(const SweepJob& job, int threads) const;

 private:
  JobReport read_report(const SweepJob& job) const;

  std::filesystem::path path_;
  std::vector<SweepJob> jobs_;
};

/// The reason why a run that ended with `exit_code` failed: its last error message in the log, or the exit code or
/// signal. Says so if the log cannot be read.
std::string failure_reason(const std::filesystem::path& log, int exit_code,
                           FileSystem& file_system = real_file_system());

}  // namespace gradamp
