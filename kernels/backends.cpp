// SPDX-License-Identifier: MIT
#include "gradamp/kernels/backends.h"

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cuda/gpu_backends.h"

namespace gradamp {

std::unique_ptr<Backend> make_backend(const Device& device, const BackendOptions& options) {
  check_method(device.kind, options.convolution);
  switch (device.kind) {
    case DeviceKind::kCpu:
      check(options.precision != Precision::kTF32, "the device cpu has the precisions f32 and bf16, got {}",
            name_of(options.precision));
      return std::make_unique<CpuBackend>(options.threads, options.convolution,
                                          options.precision == Precision::kBF16 ? DType::kBF16 : DType::kF32);
    case DeviceKind::kCuda:
#if defined(GRADAMP_CUDA)
      return cuda::make_backend(options);
#else
      fail("{}", kNoCuda);
#endif
    case DeviceKind::kEmulated: return emulated::make_backend(options);
  }
  fail("no backend for device {}", to_string(device));
}

void select_gpu_of_rank(const Device& device, int local_rank) {
#if defined(GRADAMP_CUDA)
  if (device.kind == DeviceKind::kCuda) cuda::select_gpu_of_rank(local_rank);
#else
  (void)device, (void)local_rank;
#endif
}

std::string gpu_of_rank(int local_rank) {
#if defined(GRADAMP_CUDA)
  return cuda::gpu_of_rank(local_rank);
#else
  (void)local_rank;
  return {};
#endif
}

std::vector<DeviceStatus> device_statuses() {
  std::vector<DeviceStatus> statuses = {{{DeviceKind::kCpu}, true, CpuBackend(0).description()}};
#if defined(GRADAMP_CUDA)
  statuses.push_back(cuda::status());
  statuses.back().description += "; built with CUDA " GRADAMP_CUDA_VERSION " for " GRADAMP_CUDA_ARCHITECTURES;
#else
  statuses.push_back({{DeviceKind::kCuda}, false, "cuda: not in this build, which found no CUDA toolkit"});
#endif
  statuses.push_back(emulated::status());
  return statuses;
}

}  // namespace gradamp
