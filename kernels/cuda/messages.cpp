// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/messages.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <vector>

#include <fmt/format.h>

namespace gradamp::GRADAMP_GPU {
namespace {

/// Whether a running kernel caused the error. All later calls return it, too.
bool is_of_a_kernel(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure: return true;
    default: return false;
  }
}

/// Whether each launch waits for its kernel, so that an error belongs to the call that returned it.
bool launches_wait() {
  const char* const blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
  return blocking != nullptr && std::string_view(blocking) != "" && std::string_view(blocking) != "0";
}

/// An entry of CMAKE_CUDA_ARCHITECTURES: a compute capability ("8.0", "9.0a") and the kinds of code for it.
struct Architecture {
  std::string capability;
  bool binary, ptx;
};

/// Nothing if the entry has no number: "native", "all-major".
std::optional<Architecture> parse(std::string_view entry) {
  const auto digits = std::min(entry.find_first_not_of("0123456789"), entry.size());
  if (digits < 2) return {};
  const auto end = std::min(entry.find('-'), entry.size());
  const std::string_view suffix = entry.substr(end);
  if (suffix != "" && suffix != "-real" && suffix != "-virtual") return {};
  return Architecture{fmt::format("{}.{}", entry.substr(0, digits - 1), entry.substr(digits - 1, end - digits + 1)),
                      suffix != "-virtual", suffix != "-real"};
}

}  // namespace

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

std::string failure_text(cudaError_t error, std::string_view what, std::string_view file, int line) {
  std::string text = fmt::format("{} at {}:{}: CUDA reports '{}' ({})", what, file.substr(file.rfind('/') + 1), line,
                                 cudaGetErrorString(error), cudaGetErrorName(error));
  if (is_of_a_kernel(error) && !launches_wait())
    text += " (of a kernel launched earlier; CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer names it)";
  return text;
}

std::string driver_text(int driver, int runtime) {
  // A driver supports every runtime of its own major version.
  const std::string needed = version_text(runtime / 1000 * 1000);
  if (driver == 0) return fmt::format("there is no NVIDIA driver: install one for CUDA {} or newer", needed);
  return fmt::format("the NVIDIA driver here is for CUDA {}, this build needs {} or newer: update the driver",
                     version_text(driver), needed);
}

std::string architectures_text(std::string_view architectures) {
  std::vector<std::string> binaries, ptx;
  for (std::size_t begin = 0; begin < architectures.size();) {
    const std::size_t end = std::min(architectures.find_first_of(",; ", begin), architectures.size());
    const std::string_view entry = architectures.substr(begin, end - begin);
    begin = end + 1;
    if (entry.empty()) continue;
    const std::optional<Architecture> architecture = parse(entry);
    if (!architecture) return std::string(architectures);
    if (architecture->binary) binaries.push_back(architecture->capability);
    if (architecture->ptx) ptx.push_back(architecture->capability);
  }
  const std::string binaries_text = fmt::format("{}", fmt::join(binaries, ", "));
  if (ptx.empty()) return binaries_text;
  return fmt::format("{}{}PTX of {}", binaries_text, binaries.empty() ? "" : " and ", fmt::join(ptx, ", "));
}

std::string no_code_text(cudaError_t error, const Gpu& gpu, std::string_view architectures, int driver) {
  const std::string code = architectures_text(architectures);
  if (error == cudaErrorNoKernelImageForDevice) {
    return fmt::format("this build has code for {}; {} has {}.{}: configure with -DCMAKE_CUDA_ARCHITECTURES={}{}", code,
                       gpu.name, gpu.major, gpu.minor, gpu.major, gpu.minor);
  }
  if (error == cudaErrorUnsupportedPtxVersion) {
    return fmt::format(
        "this build has code for {}; the NVIDIA driver, for CUDA {}, is too old to compile that PTX for {} "
        "({}.{}): update the driver, or configure with -DCMAKE_CUDA_ARCHITECTURES={}{}",
        code, version_text(driver), gpu.name, gpu.major, gpu.minor, gpu.major, gpu.minor);
  }
  return fmt::format("{}: {} ({})", gpu.name, cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace gradamp::GRADAMP_GPU
