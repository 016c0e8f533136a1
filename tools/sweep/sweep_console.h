// SPDX-License-Identifier: MIT
// The console output of a sweep: one line per run that has ended, the sweep's progress, the list of runs, and a
// summary.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "gradamp/tools/run/console.h"
#include "gradamp/tools/sweep/sweep_runner.h"

namespace gradamp {

struct CellCounts {
  int cells = 0, done = 0, failed = 0;
};
CellCounts count_cells(const std::vector<SweepJob>& jobs, const std::vector<JobReport>& reports);

/// One line for a job: "amplified_resnet8_seed-1  done  12/12  81.20%". A beginning's line says that cells share it.
std::string format_job(const SweepJob& job, const JobReport& report);
/// One line per run, with its number (for --only) and a newline.
std::string format_jobs(const SweepFolder& folder, const std::vector<JobReport>& reports);
/// "all cells: network resnet8, dataset synthetic, strategy params_1, epochs 8" with a newline: what is trained, in the
/// settings that all cells share and that are not the default.
std::string format_common_settings(const std::vector<SweepJob>& jobs);
/// The number of cells that are done, and the failed runs with their reasons. Each line ends with a newline.
std::string format_summary(const SweepFolder& folder, const std::vector<JobReport>& reports);
/// One line: the number of cells that are done, the estimated remaining time, and the running jobs. If `columns` (0:
/// unlimited) is too narrow for all of them, their number instead.
std::string format_sweep_progress(const SweepFolder& folder, const std::vector<JobReport>& reports, int jobs_at_a_time,
                                  int columns = 0);

/// Prints runs that have ended to `results` and the sweep's progress to `progress`. On a terminal the progress is a
/// line that is overwritten; otherwise it is an occasional line.
class SweepConsole : public SweepObserver {
 public:
  SweepConsole(const SweepFolder& folder, int jobs_at_a_time, std::ostream& results, std::ostream& progress,
               ConsoleOptions options);
  /// Removes the progress line.
  ~SweepConsole() override;
  SweepConsole(const SweepConsole&) = delete;
  SweepConsole& operator=(const SweepConsole&) = delete;

  void on_begin(std::ptrdiff_t of_others) override;
  void on_end(const SweepJob& job, const JobReport& report) override;
  void on_progress(const std::vector<JobReport>& reports) override;

 private:
  void clear();

  const SweepFolder& folder_;
  int jobs_at_a_time_;
  std::ostream &results_, &progress_;
  ConsoleOptions options_;
  bool shown_ = false;
  double last_progress_;  // time of options_.clock
};

}  // namespace gradamp
