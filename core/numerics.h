// SPDX-License-Identifier: MIT
// Numerics versions: what a run was computed with, where the same settings do not give the same bits in every release.
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

/// The last release in which such a device had this version, "0.1.0"; empty: none is known.
std::string last_release_with(DeviceKind kind, int version);

/// Error that names the release to use, unless this program computes such a device's bits as `version` did. `what`: of
/// what the version is, "runs/1/checkpoint.safetensors".
void check_numerics(const std::string& what, DeviceKind kind, int version);

}  // namespace gradamp
