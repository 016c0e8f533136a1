// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "gradamp/core/error.h"

namespace gradamp {

enum class DeviceKind {
  kCpu,
  kCuda,
  kEmulated,  // the CUDA kernels, run by a CPU
};

/// The device on which tensors are stored and operations run.
struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  friend bool operator==(const Device&, const Device&) = default;
};

/// "cpu", "cuda", "emulated".
constexpr const char* name_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return "cpu";
    case DeviceKind::kCuda: return "cuda";
    case DeviceKind::kEmulated: return "emulated";
  }
  return "?";
}

inline std::string to_string(const Device& device) { return name_of(device.kind); }

/// Parses what to_string writes; Error for anything else. make_backend (kernels/backends.h) checks whether this build
/// and machine have the device.
inline Device parse_device(std::string_view text) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda, DeviceKind::kEmulated})
    if (text == name_of(kind)) return Device{kind};
  fail("expected a device (cpu, cuda or emulated), got '{}'", text);
}

}  // namespace gradamp
