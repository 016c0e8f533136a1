// SPDX-License-Identifier: MIT
// The one door to the backends: nothing outside kernels/ includes a header of one of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gradamp/core/backend.h"

namespace gradamp {

/// In which order the emulator runs the threads of a block. A correct kernel computes the same bits in every order.
enum class ThreadOrder { kForward, kReverse, kShuffled };

struct BackendOptions {
  /// CPU threads; 0: what OpenMP chooses (OMP_NUM_THREADS, else every core). The backend has fewer if OpenMP gives fewer
  /// to the thread that makes it, for example under OMP_THREAD_LIMIT; Backend::description() names the number.
  int threads = 0;
  /// The CPU backend has f32 only.
  Precision precision = Precision::kF32;
  /// Of the emulated device; all emulated backends of a process share one.
  ThreadOrder thread_order = ThreadOrder::kForward;
  std::uint64_t shuffle_seed = 1;
};

/// A backend for `device`; Error where this build or this machine has none.
std::unique_ptr<Backend> make_backend(const Device& device, const BackendOptions& options = {});

/// A device that this build knows of, and what there is to say about it.
struct DeviceStatus {
  Device device;
  bool available = false;
  /// One line: what it is and was built for, or why it is not available.
  std::string description;
};

/// Every device, the CPU first.
std::vector<DeviceStatus> device_statuses();

}  // namespace gradamp
