// SPDX-License-Identifier: MIT
// From the type of activations, which is known at run time, to a template argument.
#pragma once

#include "gradamp/core/bf16.h"
#include "gradamp/core/dtype.h"

namespace gradamp {

/// Calls `body` with a value of the element type: float or Bf16.
template <typename Body>
void with_element_type(DType type, const Body& body) {
  if (type == DType::kBF16) {
    body(Bf16{});
  } else {
    body(0.0f);
  }
}

}  // namespace gradamp
