// SPDX-License-Identifier: MIT
// Signals that ask a training run to stop.
#pragma once

#include <atomic>

namespace gradamp {

/// While one lives, SIGINT, SIGTERM, SIGUSR1 (Slurm's warning before the time limit) and, unless it was ignored
/// (nohup), SIGHUP set stop() and are remembered. A SIGINT after that kills the program at once. SIGPIPE is ignored: a
/// run outlives whoever reads its output. The destructor restores what was. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>& stop() const;
  /// The first signal that came; 0: none.
  int received() const;
};

/// "SIGTERM"
const char* signal_name(int signal);

}  // namespace gradamp
