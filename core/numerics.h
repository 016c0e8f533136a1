// SPDX-License-Identifier: MIT
// Numerics versions: the same settings give the same bits in all releases that have the same version for a device.
#pragma once

#include <string>

#include "gradamp/core/device.h"

namespace gradamp {

/// Increased by one when a change alters the bits of a training on this kind of device. The first version is 1.
constexpr int numerics_version(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return 2;
    case DeviceKind::kCuda: return 6;
    case DeviceKind::kEmulated: return 5;
  }
  return 0;
}

/// Throws an Error that names the release to use, unless `version` is this program's version for this kind of device.
/// `what` is the source of the version: "runs/1/checkpoint.safetensors".
void check_numerics(const std::string& what, DeviceKind kind, int version);

}  // namespace gradamp
