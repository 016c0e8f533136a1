// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// scaled.cu is compiled once per kind of device, each time in another namespace.
namespace own::emulated {
/// y = a x + b, for `count` elements of the device's memory. `stream`: the backend's native_stream().
void scaled(void* stream, std::int64_t count, float a, const float* x, float b, float* y);
}  // namespace own::emulated
namespace own::cuda {
/// The same on a GPU, if the project has the language CUDA.
void scaled(void* stream, std::int64_t count, float a, const float* x, float b, float* y);
}  // namespace own::cuda
