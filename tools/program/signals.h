// SPDX-License-Identifier: MIT
// Signals that ask a training run to stop.
#pragma once

#include <atomic>

namespace gradamp {

/// During the lifetime of an object, SIGINT, SIGTERM, SIGUSR1 (Slurm's warning before the time limit) and SIGHUP
/// (unless it was ignored, as by nohup) set stop(), and received() returns the first of them. A SIGINT after that kills
/// the program at once. SIGPIPE is ignored, so that a run continues if the reader of its output exits. The destructor
/// restores the previous actions. Only one object may exist at a time.
class StopSignals {
 public:
  StopSignals();
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
