// SPDX-License-Identifier: MIT
// The extents of a convolution, and the rule that chooses its algorithm.
#pragma once

#include <cstdint>

#include "gradamp/core/convolution_method.h"

namespace gradamp {

/// x (batch, height, width, in_channels), filter (out_channels, kernel_h, kernel_w, in_channels),
/// y (batch, out_height, out_width, out_channels).
struct ConvolutionShape {
  std::int64_t batch, height, width, in_channels, out_height, out_width, out_channels, kernel_h, kernel_w, stride,
      padding;
};

enum class ConvolutionPass { kForward, kBackwardInput, kBackwardFilter };

/// Whether Winograd's algorithm (kernels/cpu/simd/winograd.h) computes this pass of a convolution; otherwise the direct
/// method (kernels/cpu/simd/direct.h) does. The rule depends only on the shape, so the bits of a run depend neither on
/// timing nor on threads:
///
///   method     | by Winograd's algorithm                                       | directly
///   -----------|---------------------------------------------------------------|-------------------
///   kAuto      | 3x3 filter, stride 1, padding 0 to 2,                         | everything else
///              | input and output channels are multiples of 16,                |
///              | output (backward input: input) of at least 2x2 pixels,        |
///              | at least 32 tiles of 2x2 pixels in the batch                  |
///   kWinograd  | 3x3 filter, stride 1, padding 0 to 2                          | everything else
///   kDirect    | nothing                                                       | everything
bool uses_winograd(ConvolutionMethod method, ConvolutionPass pass, const ConvolutionShape& shape);

}  // namespace gradamp
