// SPDX-License-Identifier: MIT
#include "gradamp/bench/arena_reference.h"
#include "gradamp/bench/atomic_references.h"

namespace gradamp::bench {

ArenaReferenceChoice make_atomic_reference(const Device& device) {
  try {
    switch (device.kind) {
      case DeviceKind::kCpu: break;
      case DeviceKind::kEmulated: return {emulated::make_atomic_reference(), "atomic additions"};
      case DeviceKind::kCuda:
#if defined(GRADAMP_CUDA)
        return {cuda::make_atomic_reference(), "atomic additions"};
#else
        break;
#endif
    }
  } catch (const Error& error) {
    return {nullptr, fmt::format("left out: atomic additions cannot start: {}", error.what())};
  }
  return {nullptr, fmt::format("left out: there are no atomic additions for the device {}", to_string(device))};
}

}  // namespace gradamp::bench
