// SPDX-License-Identifier: MIT
// The devices that the stand-in can imitate.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "gradamp/kernels/emulation/launch_rules.h"

namespace gradamp::stand_in {

struct DeviceProfile {
  std::string_view name;  // its value of STAND_IN_DEVICE
  const char* full_name;
  int major, minor;  // compute capability; 0: there is no device
  int multiprocessors;
  int shared_opt_in_kib, shared_per_multiprocessor_kib;
  int threads_per_multiprocessor, blocks_per_multiprocessor;
  int l2_mib, memory_gib;
  int driver;  // newest CUDA version that the driver supports, from cudaDriverGetVersion; 0: no driver

  int architecture() const { return major * 10 + minor; }
  emulation::DeviceLimits limits() const {
    emulation::DeviceLimits limits;
    limits.shared_opt_in = static_cast<std::size_t>(shared_opt_in_kib) << 10;
    return limits;
  }
};

/// Since compute capability 8.0 the driver reserves this much shared memory of each block
/// (cudaDeviceProp::reservedSharedMemPerBlock). It counts for the blocks per multiprocessor, not for a launch.
inline constexpr int kReservedSharedBytes = 1 << 10;

std::span<const DeviceProfile> device_profiles();

}  // namespace gradamp::stand_in
