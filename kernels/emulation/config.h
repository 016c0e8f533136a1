// SPDX-License-Identifier: MIT
// How the emulator runs kernels, and what it has counted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/kernels/emulation/launch_rules.h"
#include "gradamp/kernels/emulation/poison.h"

namespace gradamp::emulation {

/// In which order the threads and blocks that could run do run. A correct kernel gives the same result in all of them.
enum class ThreadOrder { kForward, kReverse, kShuffled };

struct Config {
  ThreadOrder thread_order = ThreadOrder::kForward;
  /// Of the shuffled order: the same seed gives the same order.
  std::uint64_t seed = 1;
  /// Blocks run side by side on this many OS threads; 0: what OpenMP chooses. Under the race checker it is always one.
  int os_threads = 0;
  /// Work that a program puts into a stream runs only when the program waits for it, so that a result read too early is
  /// one that is not there yet. Otherwise it runs at once.
  bool deferred = false;
  /// A thread may return while others go on to a barrier, or to a warp collective whose mask names it. CUDA since Volta
  /// bears it, but results from such lanes are undefined, and mostly it is a mistake.
  bool allow_early_exit = false;
  /// Each thread's stack. Instrumented code needs more of it.
  std::size_t stack_bytes = kAddressSanitizer ? 256 << 10 : 64 << 10;
  /// The device's memory: cudaMalloc fails beyond it.
  std::size_t memory_limit = std::size_t{4} << 30;
  /// What the device allows a launch.
  DeviceLimits limits;
};

/// The one configuration of this process. Change it between launches, from the thread that launches.
Config& config();

/// Counted since the process began.
struct Statistics {
  std::uint64_t launches = 0;
  std::uint64_t blocks = 0;
  /// Waits of the host: for a stream, an event or the device.
  std::uint64_t waits = 0;
  std::uint64_t graph_launches = 0;
};

Statistics statistics();

}  // namespace gradamp::emulation
