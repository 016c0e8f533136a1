// SPDX-License-Identifier: MIT
// Numerics versions: the same settings give the same bits in all releases that have the same version for a device.
#pragma once

#include <string>

#include "gradamp/core/device.h"

namespace gradamp {

/// Raised by one when a change alters the bits that a training on such a device gives; from 1.
constexpr int numerics_version(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return 1;
    case DeviceKind::kCuda: return 2;
    case DeviceKind::kEmulated: return 2;
  }
  return 0;
}

/// Error that names the release to use, unless `version` is this program's for such a device. `what` has the version:
/// "runs/1/checkpoint.safetensors".
void check_numerics(const std::string& what, DeviceKind kind, int version);

}  // namespace gradamp
