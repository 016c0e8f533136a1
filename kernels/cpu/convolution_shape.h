// SPDX-License-Identifier: MIT
// The extents of a convolution, and the rule that chooses its algorithm.
#pragma once

#include <cstdint>

#include "gradamp/core/convolution_method.h"

namespace gradamp {

/// x (batch, height, width, in_channels), filter (out_channels, kernel_h, kernel_w, in_channels / groups),
/// y (batch, out_height, out_width, out_channels).
struct ConvolutionShape {
  std::int64_t batch, height, width, in_channels, out_height, out_width, out_channels, kernel_h, kernel_w, stride,
      padding;
  std::int64_t dilation = 1, groups = 1;

  std::int64_t taps() const { return kernel_h * kernel_w; }
  /// Channels of one group.
  std::int64_t group_inputs() const { return in_channels / groups; }
  std::int64_t group_outputs() const { return out_channels / groups; }
};

enum class ConvolutionPass { kForward, kBackwardInput, kBackwardFilter };

/// Whether Winograd's algorithm (kernels/cpu/simd/winograd.h) computes this pass of a convolution; otherwise the direct
/// method (kernels/cpu/simd/direct.h) does. The rule depends only on the shape, so the bits of a run depend neither on
/// timing nor on threads:
///
///   method     | by Winograd's algorithm                                       | directly
///   -----------|---------------------------------------------------------------|-------------------
///   kAuto      | 3x3 filter, stride 1, padding 0 to 2, dilation 1, one group,  | everything else
///              | input and output channels are multiples of 16,                |
///              | output (backward input: input) of at least 2x2 pixels,        |
///              | at least 32 tiles of 2x2 pixels in the batch                  |
///   kWinograd  | 3x3 filter, stride 1, padding 0 to 2, dilation 1, one group   | everything else
///   kDirect    | nothing                                                       | everything
bool uses_winograd(ConvolutionMethod method, ConvolutionPass pass, const ConvolutionShape& shape);

}  // namespace gradamp
