// SPDX-License-Identifier: MIT
// What kernels/backends.cpp knows of the two builds of this folder.
#pragma once

#include <memory>

#include "kernels/backends.h"

namespace gradamp::cuda {

/// Error where there is no usable GPU.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);
DeviceStatus status();

}  // namespace gradamp::cuda

namespace gradamp::emulated {

std::unique_ptr<Backend> make_backend(const BackendOptions& options);
DeviceStatus status();

}  // namespace gradamp::emulated
