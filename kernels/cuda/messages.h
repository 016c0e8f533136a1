// SPDX-License-Identifier: MIT
// What the backend says if a GPU cannot be used or a call fails. These are plain functions of what the runtime
// returned, so that they are tested without a GPU. Host files only.
#pragma once

#include <string>
#include <string_view>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// "13.0" of 13000, as the runtime writes versions.
std::string version_text(int version);

/// The call `what` at file:line returned `error`. Errors of kernels arrive at whatever call comes next; for these the
/// text says that the kernel is another one.
std::string failure_text(cudaError_t error, std::string_view what, std::string_view file, int line);

/// For cudaErrorInsufficientDriver. `driver` is from cudaDriverGetVersion, 0 if there is no driver; `runtime` is the
/// version that the program was built with.
std::string driver_text(int driver, int runtime);

/// A GPU and its compute capability.
struct Gpu {
  std::string name;
  int major, minor;
};

/// "8.0, 9.0 and PTX of 9.0" of "80-real, 90", an entry list of CMAKE_CUDA_ARCHITECTURES.
std::string architectures_text(std::string_view architectures);

/// For `error` from asking about a kernel: why the program's code for `architectures` does not run on `gpu`.
std::string no_code_text(cudaError_t error, const Gpu& gpu, std::string_view architectures, int driver);

}  // namespace gradamp::GRADAMP_GPU
