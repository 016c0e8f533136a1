// SPDX-License-Identifier: MIT
// The copy and the matrix product of the GPU vendor's libraries, as ceilings. A build with CUDA uses CUDA and cuBLAS;
// other builds have none (cuda_library_stub.cpp).
#pragma once

#include <cstddef>
#include <string>

#include "gradamp/core/dtype.h"

namespace gradamp::bench {

/// A measured rate, or the reason why there is none.
struct LibraryRate {
  double rate = 0;     // 0: not measured
  std::string reason;  // why it was not measured
};

/// Bytes per second, read plus written, of copies of `bytes` each from device to device. Calls rotate over at least
/// `rotated` bytes: more than a cache holds, unless the time does not matter.
LibraryRate library_copy_rate(std::size_t bytes, std::size_t rotated);

/// FLOP per second of the product of two square matrices (size, size) of random numbers, with f32 sums.
LibraryRate library_matrix_rate(Precision precision, int size);

}  // namespace gradamp::bench
