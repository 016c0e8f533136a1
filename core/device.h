// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace gradamp {

enum class DeviceKind { kCpu };

/// Where tensors live and operations run.
struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  friend bool operator==(const Device&, const Device&) = default;
};

/// "cpu"
inline std::string to_string(const Device&) { return "cpu"; }

/// Reads what to_string writes; anything else is an Error that lists the devices of this build.
inline Device parse_device(std::string_view text) {
  check(text == "cpu", "expected a device of this build (cpu), got '{}'", text);
  return Device{};
}

}  // namespace gradamp
