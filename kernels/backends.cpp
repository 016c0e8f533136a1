// SPDX-License-Identifier: MIT
#include "kernels/backends.h"

#include "kernels/cpu/cpu_backend.h"

namespace gradamp {

std::unique_ptr<Backend> make_backend(const Device& device, const BackendOptions& options) {
  switch (device.kind) {
    case DeviceKind::kCpu:
      check(options.precision == Precision::kF32, "the device cpu computes in f32 only, got the precision {}",
            name_of(options.precision));
      return std::make_unique<CpuBackend>(options.threads);
    case DeviceKind::kCuda: fail("this build has no CUDA; install the CUDA toolkit and configure it again");
    case DeviceKind::kEmulated: break;
  }
  fail("no backend for device {}", to_string(device));
}

}  // namespace gradamp
