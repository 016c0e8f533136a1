// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/hopper_check.h"

#include <map>
#include <mutex>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/self_check_support.h"

namespace gradamp::GRADAMP_GPU {

#if defined(GRADAMP_EMULATION)

HopperRefusal hopper_refusal(CudaBackend&) { return {}; }

#else

namespace {

HopperRefusal look(CudaBackend& hopper, int device) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  if (properties.major != 9 || properties.minor != 0) {
    return {fmt::format("they need compute capability 9.0, {} has {}.{}", properties.name, properties.major,
                        properties.minor)};
  }
  try {
    const std::string found = disagreement_of_convolutions(hopper, Precision::kBF16);
    return {found, !found.empty()};
  } catch (const Error& error) {  // for example, the driver is too old
    return {error.what()};
  }
}

}  // namespace

HopperRefusal hopper_refusal(CudaBackend& hopper) {
  static std::mutex mutex;
  static std::map<int, HopperRefusal> known;
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  const auto at = known.find(device);
  return at != known.end() ? at->second : known[device] = look(hopper, device);
}

#endif

}  // namespace gradamp::GRADAMP_GPU
