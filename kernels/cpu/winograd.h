// SPDX-License-Identifier: MIT
// Convolutions with 3x3 filters and stride 1 by Winograd's F(2x2, 3x3), in f32. kernels/cpu/winograd_transforms.h
// explains the algorithm.
//
// All three passes cut the output (of the backward of the input: the input's gradient) into tiles of 2x2 pixels. Tiles
// that the edge cuts read zeros and leave out what they would write outside. Any number of channels is possible;
// internally they are filled up with zeros to groups of 16.
//
// Work is cut by shape alone. So the bits do not depend on the number of threads.
#pragma once

#include "gradamp/core/caching_allocator.h"
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/simd.h"

namespace gradamp {

/// What a convolution runs on: threads, and where its scratch memory comes from.
struct Workers {
  int threads;
  CachingAllocator& allocator;
};

namespace GRADAMP_SIMD {

/// y = x * weight [+ bias]; `bias` has out_channels elements or is null. The shape has 3x3 filters and stride 1, with a
/// padding of 0, 1 or 2, here and below.
void winograd_forward(const ConvolutionShape& shape, const float* x, const float* weight, const float* bias, float* y,
                      const Workers& workers);
void winograd_backward_input(const ConvolutionShape& shape, const float* grad_y, const float* weight, float* grad_x,
                             const Workers& workers);
void winograd_backward_filter(const ConvolutionShape& shape, const float* x, const float* grad_y, float* grad_weight,
                              const Workers& workers);

}  // namespace GRADAMP_SIMD
}  // namespace gradamp
