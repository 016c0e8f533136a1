// SPDX-License-Identifier: MIT
// Trains the runs of a sweep, several at a time. Each run has its own process, so a run that fails or is killed does
// not affect the others.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {

/// Receives the events of a sweep. All calls come from the thread of run_sweep.
class SweepObserver {
 public:
  virtual ~SweepObserver() = default;
  /// Called once, at the beginning, with the number of runs that other processes are training.
  virtual void on_begin(std::ptrdiff_t of_others) { (void)of_others; }
  /// Called once per second with one report per job.
  virtual void on_progress(const std::vector<JobReport>& reports) { (void)reports; }
  /// Called when a job is done, interrupted or failed.
  virtual void on_end(const SweepJob& job, const JobReport& report) { (void)job, (void)report; }
};

struct SweepOptions {
  int jobs = 1;                       // number of concurrent jobs
  std::vector<std::string> gpus;      // values of CUDA_VISIBLE_DEVICES, assigned in turn; empty: variable unchanged
  std::vector<std::string> launcher;  // begins the command of each run: "mpirun", "-n", "2"; empty: one process
  /// A launcher is killed if its run has ended for this time (mpirun of Open MPI 4.1 seldom waits for ever then).
  std::chrono::milliseconds launcher_patience{60'000};
  std::optional<std::size_t> only;          // run only this job and the beginning that it needs; none: all jobs
  const std::atomic<bool>* stop = nullptr;  // a signal sets it; then the runs finish their step and are saved
  SweepObserver* observer = nullptr;
};

/// Starts pending runs, resumes interrupted ones, and retries each failed one once, until every job has ended or the
/// sweep is stopped. Waits for runs owned by other processes. Returns the final reports.
std::vector<JobReport> run_sweep(const SweepFolder& folder, const SweepOptions& options);

/// The number of threads per run if `jobs` runs are concurrent: OMP_NUM_THREADS if it is set, else the processors that
/// this process (core/processors.h) and the Slurm task, if there is one, may use (SLURM_CPUS_ON_NODE,
/// SLURM_CPUS_PER_TASK), divided by `jobs`.
int threads_of_job(int jobs);

}  // namespace gradamp
