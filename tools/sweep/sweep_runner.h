// SPDX-License-Identifier: MIT
// Trains the runs of a sweep, several at a time, each in a process of its own: one that fails or is killed leaves the
// others be.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

/// Hears how a sweep goes; every call comes from run_sweep's thread.
class SweepObserver {
 public:
  virtual ~SweepObserver() = default;
  /// One report a job, once a second.
  virtual void on_progress(const std::vector<JobReport>& reports) { (void)reports; }
  /// It is done, broken off or failed.
  virtual void on_end(const SweepJob& job, const JobReport& report) { (void)job, (void)report; }
};

struct SweepOptions {
  int jobs = 1;                     // at a time
  std::vector<std::string> gpus;    // numbers as CUDA_VISIBLE_DEVICES has them, dealt out in turn; empty: as it is
  std::optional<std::size_t> only;  // one of the sweep's jobs, and what it branches from; else all
  const std::atomic<bool>* stop = nullptr;  // set by a signal: the runs finish their step and are saved
  SweepObserver* observer = nullptr;
};

/// Begins what is waiting, goes on with what was broken off, and tries once again what has failed, until every job has
/// ended or it is stopped; waits for what other processes are at. Gives the last reports.
std::vector<JobReport> run_sweep(const SweepFolder& folder, const SweepOptions& options);

/// Threads of a run where `jobs` run at a time: OMP_NUM_THREADS, else what Slurm gave the task, else the processors
/// shared out.
int threads_of_job(int jobs);

}  // namespace gradamp
