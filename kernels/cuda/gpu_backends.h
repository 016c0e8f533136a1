// SPDX-License-Identifier: MIT
// What kernels/backends.cpp knows of the two builds of this folder.
#pragma once

#include <memory>

#include "gradamp/kernels/backends.h"
#include "gradamp/kernels/self_check.h"

namespace gradamp {

/// Why the device cuda cannot be used in a build without CUDA.
inline constexpr const char* kNoCuda =
    "this build has no CUDA: install the CUDA toolkit (12.4 or newer) and configure it again";

}  // namespace gradamp

namespace gradamp::cuda {

/// Error where there is no usable GPU.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);
DeviceStatus status();
SelfCheckReport self_check(const BackendOptions& options);
DeviceFacts device_facts();

}  // namespace gradamp::cuda

namespace gradamp::emulated {

std::unique_ptr<Backend> make_backend(const BackendOptions& options);
DeviceStatus status();
SelfCheckReport self_check(const BackendOptions& options);
DeviceFacts device_facts();

}  // namespace gradamp::emulated
