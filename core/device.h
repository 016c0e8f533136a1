// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace gradamp {

enum class DeviceKind {
  kCpu,
  kCuda,
  kEmulated,  // the CUDA kernels, run by a CPU
};

/// Where tensors live and operations run.
struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  friend bool operator==(const Device&, const Device&) = default;
};

/// How exactly convolutions are computed, and what activations are kept in. Weights, statistics and the optimizer are
/// f32 always.
enum class Precision {
  kF32,   // f32 products, f32 sums
  kTF32,  // operands rounded to 10 bits of mantissa, f32 sums
  kBF16,  // activations and their gradients in bf16, f32 sums
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

/// "f32", "tf32", "bf16".
constexpr const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::kF32: return "f32";
    case Precision::kTF32: return "tf32";
    case Precision::kBF16: return "bf16";
  }
  return "?";
}

inline std::string to_string(const Device& device) { return name_of(device.kind); }

/// Reads what to_string writes; anything else is an Error. Whether this build and machine have the device is for
/// make_backend (kernels/backends.h) to say.
inline Device parse_device(std::string_view text) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda, DeviceKind::kEmulated})
    if (text == name_of(kind)) return Device{kind};
  fail("expected a device (cpu, cuda or emulated), got '{}'", text);
}

}  // namespace gradamp
