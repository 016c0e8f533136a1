// SPDX-License-Identifier: MIT
// The backend's messages if a GPU cannot be used or a call fails. They are plain functions of the runtime's results, so
// that they are tested without a GPU. Host files only.
#pragma once

#include <string>
#include <string_view>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Formats a version of the runtime: 13000 becomes "13.0".
std::string version_text(int version);

/// The call `what` at file:line returned `error`. The next call returns the errors of a kernel; for these the text says
/// that an earlier kernel failed.
std::string failure_text(cudaError_t error, std::string_view what, std::string_view file, int line);

/// For cudaErrorInsufficientDriver. `driver` is from cudaDriverGetVersion, 0 if there is no driver; `runtime` is the
/// version that the program was built with.
std::string driver_text(int driver, int runtime);

/// A GPU and its compute capability.
struct Gpu {
  std::string name;
  int major, minor;
};

/// Formats the list CMAKE_CUDA_ARCHITECTURES: "80-real, 90" becomes "8.0, 9.0 and PTX of 9.0".
std::string architectures_text(std::string_view architectures);

/// For the `error` of a query about a kernel: why the program's code for `architectures` does not run on `gpu`.
std::string no_code_text(cudaError_t error, const Gpu& gpu, std::string_view architectures, int driver);

}  // namespace gradamp::GRADAMP_GPU
