// SPDX-License-Identifier: MIT
// What a sweep shows: a line a run that has ended and how far the sweep is, the list of its runs, and a summary.
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

/// "amplified_resnet8_seed-1  done  12/12  81.20%"
std::string format_job(const SweepJob& job, const JobReport& report);
/// Lines, one a run, each with its number (--only) and its newline.
std::string format_jobs(const SweepFolder& folder, const std::vector<JobReport>& reports);
/// How many cells are done, and the failed runs with their reasons; lines, each with its newline.
std::string format_summary(const SweepFolder& folder, const std::vector<JobReport>& reports);
/// One line: cells done, the time left by the epochs so far, what is at work.
std::string format_sweep_progress(const SweepFolder& folder, const std::vector<JobReport>& reports, int jobs_at_a_time);

/// Runs that have ended go to `results`, how far it is to `progress`: on a terminal a line that is overwritten,
/// elsewhere now and then one.
class SweepConsole : public SweepObserver {
 public:
  SweepConsole(const SweepFolder& folder, int jobs_at_a_time, std::ostream& results, std::ostream& progress,
               ConsoleOptions options);
  /// Removes the line.
  ~SweepConsole() override;
  SweepConsole(const SweepConsole&) = delete;
  SweepConsole& operator=(const SweepConsole&) = delete;

  void on_end(const SweepJob& job, const JobReport& report) override;
  void on_progress(const std::vector<JobReport>& reports) override;

 private:
  void clear();

  const SweepFolder& folder_;
  int jobs_at_a_time_;
  std::ostream &results_, &progress_;
  ConsoleOptions options_;
  bool shown_ = false;
  double last_progress_;  // by the clock
};

}  // namespace gradamp
