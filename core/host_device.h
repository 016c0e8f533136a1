// SPDX-License-Identifier: MIT
// Functions of which host and device have the same source.
#pragma once

/// Before a function's declaration: nvcc compiles it for the host and for the device.
#if defined(__CUDACC__)
#define GRADAMP_HOST_DEVICE __host__ __device__
#else
#define GRADAMP_HOST_DEVICE
#endif
