// SPDX-License-Identifier: MIT
// Maps types and vector widths known at run time to template arguments.
#pragma once

#include <type_traits>

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {

/// Calls `body` with a zero of the element type: float or bf16.
template <typename Body>
void with_type(DType type, const Body& body) {
  if (type == DType::kBF16) {
    body(bf16{});
  } else {
    body(0.0f);
  }
}

/// Calls `body` with a zero of the element type and, as a constant, the number of adjacent channels per thread: 16
/// bytes if that divides the channels, else one. Tensors begin at multiples of 16 bytes.
template <typename Body>
void with_vectors(DType type, int channels, const Body& body) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    if (channels % kVector<T> == 0) {
      body(zero, std::integral_constant<int, kVector<T>>{});
    } else {
      body(zero, std::integral_constant<int, 1>{});
    }
  });
}

}  // namespace gradamp::GRADAMP_GPU
