// SPDX-License-Identifier: MIT
// The functions of this folder's two builds that kernels/backends.cpp calls.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gradamp/kernels/backends.h"
#include "gradamp/kernels/self_check.h"

namespace gradamp {

/// The reason why a build without CUDA cannot use the device cuda.
inline constexpr const char* kNoCuda =
    "this build has no CUDA: install the CUDA toolkit (12.4 or newer) and configure it again";

}  // namespace gradamp

namespace gradamp::cuda {

/// Error if there is no usable GPU.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);
DeviceStatus status();
SelfCheckReport self_check(const BackendOptions& options);
DeviceFacts device_facts();
/// Empty if the backend is not of this build.
std::optional<Precision> precision_of(const Backend& backend);
/// See kernels/backends.h.
void select_gpu_of_rank(int local_rank);
std::string gpu_of_rank(int local_rank);

}  // namespace gradamp::cuda

namespace gradamp::emulated {

std::unique_ptr<Backend> make_backend(const BackendOptions& options);
DeviceStatus status();
SelfCheckReport self_check(const BackendOptions& options);
DeviceFacts device_facts();
/// Empty if the backend is not of this build.
std::optional<Precision> precision_of(const Backend& backend);

}  // namespace gradamp::emulated
