// SPDX-License-Identifier: MIT
// Convolutions with 3x3 filters and stride 1 by Winograd's F(2x2, 3x3). kernels/cpu/simd/winograd_transforms.h
// explains the algorithm.
//
// All three passes divide the output (in the backward of the input: the input's gradient) into tiles of 2x2 pixels.
// Tiles at the edge read zeros from outside the image, and what they would write there is discarded. Any number of
// channels is possible; internally, channels are filled up with zeros to groups of 16.
//
// Images and filters are float or bf16, the type T. All arithmetic is in f32: bf16 is converted when it is read, and
// the results for y and grad_x are rounded when they are written.
//
// Only the shape decides how the work is divided. So the bits do not depend on the number of threads.
#pragma once

#include "gradamp/kernels/cpu/channel_affine.h"
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/simd/simd.h"
#include "gradamp/kernels/cpu/workers.h"

namespace gradamp::GRADAMP_SIMD {

/// The number of pixels in a group of the moments that winograd_forward computes; 0 if it cannot compute them, because
/// y has an odd height or width and therefore tiles with fewer pixels.
std::int64_t winograd_moment_rows(const ConvolutionShape& shape);
/// y = x * weight [+ bias]; `bias` has out_channels elements or is null. `moments`, which may be null, are those of y
/// (of the f32 results): (groups, 2, out_channels) as in ChannelMoments (core/backend.h). This function and those below
/// require 3x3 filters, stride 1 and a padding of 0, 1 or 2.
template <typename T>
void winograd_forward(const ConvolutionShape& shape, const ConvolutionInput<T>& x, const T* weight, const float* bias,
                      T* y, float* moments, const Workers& workers);
template <typename T>
void winograd_backward_input(const ConvolutionShape& shape, const T* grad_y, const T* weight, T* grad_x,
                             const Workers& workers);
template <typename T>
void winograd_backward_filter(const ConvolutionShape& shape, const ConvolutionInput<T>& x, const T* grad_y,
                              float* grad_weight, const Workers& workers);

}  // namespace gradamp::GRADAMP_SIMD
