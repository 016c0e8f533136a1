// SPDX-License-Identifier: MIT
// The GPU vendor's own copy and matrix product, as ceilings. Built with CUDA they are CUDA's and cuBLAS's, else
// nothing.
#pragma once

#include <cstddef>
#include <optional>

#include "core/dtype.h"

namespace gradamp::bench {

/// Bytes a second, read and written, of copies of `bytes` each from device to device. No cache holds what they go over.
std::optional<double> library_copy_rate(std::size_t bytes);

/// FLOP/s of the product of two square matrices of random numbers with f32 sums.
std::optional<double> library_matrix_rate(Precision precision);

}  // namespace gradamp::bench
