// SPDX-License-Identifier: MIT
// GRADAMP_HOST_DEVICE marks functions that host and device compile from the same source.
#pragma once

/// Write it before a function's declaration. nvcc then compiles the function for the host and for the device.
#if defined(__CUDACC__)
#define GRADAMP_HOST_DEVICE __host__ __device__
#else
#define GRADAMP_HOST_DEVICE
#endif

namespace gradamp {

/// std::bit_cast, which nvcc does not let device code call.
template <typename To, typename From>
GRADAMP_HOST_DEVICE constexpr To bits_as(const From& value) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, value);
}

}  // namespace gradamp
