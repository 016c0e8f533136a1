// SPDX-License-Identifier: MIT
// How the emulator runs kernels, and its statistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "gradamp/kernels/emulation/launch_rules.h"
#include "gradamp/kernels/emulation/poison.h"

namespace gradamp::emulation {

/// The order in which runnable threads and blocks run. A correct kernel gives the same result in every order.
enum class ThreadOrder { kForward, kReverse, kShuffled };

struct Config {
  ThreadOrder thread_order = ThreadOrder::kForward;
  /// For the shuffled order: the same seed gives the same order.
  std::uint64_t seed = 1;
  /// Number of OS threads that run blocks; 0: default_threads(). Always one under the race checker.
  int os_threads = 0;
  /// Work in a stream runs only when the program waits for it, so that a result read too early is not there yet. If
  /// false, work runs at once.
  bool deferred = false;
  /// Allows a thread to return while others continue to a barrier, or to a warp collective whose mask names it. CUDA
  /// tolerates this since Volta, but results from such lanes are undefined, and usually it is a mistake.
  bool allow_early_exit = false;
  /// Size of each thread's stack. Instrumented code needs more.
  std::size_t stack_bytes = kAddressSanitizer ? 256 << 10 : 64 << 10;
  /// The device's memory in bytes: cudaMalloc fails beyond it.
  std::size_t memory_limit = std::size_t{4} << 30;
  /// Host code that accesses the device's memory is also detected on a processor without protection keys: the memory is
  /// protected whenever no work of the device runs. This takes two system calls per allocation for each piece of work.
  bool protect_without_keys = false;
  /// The race checker also reports kernels that read device memory which nothing has written.
  bool check_initialized = false;
  /// Called with a description if the host misuses memory: a cudaFree of what is not an allocation, a copy of what
  /// nothing has written (known to the race checker with check_initialized). null: neither is reported.
  void (*report_misuse)(const std::string& what) = nullptr;
  /// Called with a description before a signal ends the program in host code, because of a mistake there; null: the
  /// signals are left alone.
  void (*report_host_crash)(const std::string& what) = nullptr;
  /// The device's limits for a launch.
  DeviceLimits limits;
};

/// The one configuration of this process. Change it between launches, from the thread that launches.
Config& config();

/// Counts since the process began.
struct Statistics {
  std::uint64_t launches = 0;
  std::uint64_t blocks = 0;
  /// Number of times that the host waited for a stream, an event or the device.
  std::uint64_t waits = 0;
  std::uint64_t graph_launches = 0;
};

Statistics statistics();

}  // namespace gradamp::emulation
