// SPDX-License-Identifier: MIT
// Signals that ask a training run to stop.
#pragma once

#include <atomic>

namespace gradamp {

/// Seconds without progress after SIGTERM, after which the command `train` ends at once. Its help names the number.
inline constexpr int kSecondsToStop = 10;

/// During the lifetime of an object, SIGINT, SIGTERM, SIGUSR1 (Slurm's warning before the time limit) and SIGHUP
/// (unless it was ignored, as by nohup) set stop(), and received() returns the first of them.
///
/// The process ends at once, by the signal and with one line on standard error,
///   - at a SIGINT after another of these signals, or 0.2 s or more after the first SIGINT (`timeout -s INT` sends it
///     to the process and to its group, at the same time);
///   - at a SIGTERM one second or more after the first SIGTERM (schedulers send it to all processes of a job, and a
///     sweep sends it to its runs once more);
///   - `seconds_to_stop` after the first SIGTERM, if progress_count() (core/thread_pool.h) did not change in that time,
///     or at the end of the first later period of that length without a change. So a computation that hangs is ended,
///     and a long evaluation, whose result belongs in the checkpoint, is finished. 0: this limit is off.
///
/// SIGPIPE is ignored, so that a run continues if the reader of its output exits. SIGALRM belongs to the object. The
/// destructor restores the previous actions. Only one object may exist at a time.
class StopSignals {
 public:
  explicit StopSignals(int seconds_to_stop = 0);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>& stop() const;
  /// The first signal that was received, or 0.
  int received() const;
};

/// The signal's name, such as "SIGTERM".
const char* signal_name(int signal);

}  // namespace gradamp
