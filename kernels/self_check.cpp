// SPDX-License-Identifier: MIT
#include "gradamp/kernels/self_check.h"

#include <algorithm>

#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/gpu_backends.h"

namespace gradamp {

bool SelfCheckReport::passed(Precision precision) const {
  return std::none_of(parts.begin(), parts.end(), [&](const SelfCheckPart& part) {
    return !part.disagreement.empty() &&
           std::find(part.precisions.begin(), part.precisions.end(), precision) != part.precisions.end();
  });
}

bool SelfCheckReport::passed() const {
  return std::all_of(parts.begin(), parts.end(), [](const SelfCheckPart& part) { return part.disagreement.empty(); });
}

SelfCheckReport self_check(const Device& device, const BackendOptions& options) {
  switch (device.kind) {
    case DeviceKind::kCpu: break;
    case DeviceKind::kCuda:
#if defined(GRADAMP_CUDA)
      return cuda::self_check(options);
#else
      fail("{}", kNoCuda);
#endif
    case DeviceKind::kEmulated: return emulated::self_check(options);
  }
  fail("expected a device that runs the CUDA kernels (cuda or emulated) to check, got '{}'", to_string(device));
}

DeviceFacts device_facts(const Device& device) {
  switch (device.kind) {
    case DeviceKind::kCpu: break;
    case DeviceKind::kCuda:
#if defined(GRADAMP_CUDA)
      return cuda::device_facts();
#else
      fail("{}", kNoCuda);
#endif
    case DeviceKind::kEmulated: return emulated::device_facts();
  }
  fail("expected a device that runs the CUDA kernels (cuda or emulated), got '{}'", to_string(device));
}

}  // namespace gradamp
