// SPDX-License-Identifier: MIT
// GRADAMP_HOST_DEVICE marks functions that host and device compile from the same source.
#pragma once

/// Write it before a function's declaration. nvcc then compiles the function for the host and for the device.
#if defined(__CUDACC__)
#define GRADAMP_HOST_DEVICE __host__ __device__
#else
#define GRADAMP_HOST_DEVICE
#endif
