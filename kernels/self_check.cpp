// SPDX-License-Identifier: MIT
#include "gradamp/kernels/self_check.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/ranges.h>

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

Precision precision_of(const Backend& backend) {
#if defined(GRADAMP_CUDA)
  if (const std::optional<Precision> precision = cuda::precision_of(backend)) return *precision;
#endif
  return emulated::precision_of(backend).value_or(Precision::kF32);
}

std::string describe(const DeviceFacts& device) {
  if (device.compute_capability.empty()) return device.name;
  return fmt::format("{} (compute capability {})", device.name, device.compute_capability);
}

std::string describe_parts(const SelfCheckReport& report) {
  std::string text;
  std::vector<std::string> others;
  for (const SelfCheckPart& part : report.parts) {
    if (part.disagreement.empty()) continue;
    if (text.empty()) {
      text = fmt::format("{}: {}", part.name, part.disagreement);
    } else {
      others.push_back("'" + part.name + "'");
    }
  }
  if (!others.empty()) text += fmt::format("; also disagreeing: {}", fmt::join(others, ", "));
  return text;
}

std::string describe_disagreement(const DeviceFacts& device, const SelfCheckReport& report) {
  if (report.passed()) return {};
  return fmt::format("the self-check of {} disagrees with what the kernels expect, in {}", describe(device),
                     describe_parts(report));
}

}  // namespace gradamp
