// SPDX-License-Identifier: MIT
#include "kernels/backends.h"

#include "kernels/cpu/cpu_backend.h"

namespace gradamp {

std::unique_ptr<Backend> make_backend(const Device& device, const BackendOptions& options) {
  switch (device.kind) {
    case DeviceKind::kCpu: return std::make_unique<CpuBackend>(options.threads);
  }
  fail("no backend for device {}", to_string(device));
}

}  // namespace gradamp
