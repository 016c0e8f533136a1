// SPDX-License-Identifier: MIT
// Convolutions with filters of any size, stride, padding, dilation and groups, as products of matrices: the direct
// method.
//
// A convolution is a matrix product y = A B. Row m of A contains the pixels that the window of output pixel m covers,
// its patch; B is the filter:
//
//      image           a patch, 3x3 pixels of C channels       A (pixels, 9 C)       B (9 C, K)      y (pixels, K)
//      . . . . .                                             | patch of pixel 0 |    |        |
//      . a b c .                                             | patch of pixel 1 |    | filter |    = one row
//      . d e f .      -> | a | b | c | d | ... | i |    ->   |       ...        |  x |        |      per pixel
//      . g h i .
//
// A would be up to nine times as large as the image. So only a part of it exists at a time, in the cache of one core:
// the patches of some 100 pixels, and 128 of their columns. The parts are multiplied by
// kernels/cpu/simd/register_kernel.h. kernels/cpu/direct_products.h shows how the backward of the input becomes such
// products too. The backward of the filter is A^T grad_y, where sums are over pixels. A linear layer is a convolution
// of images of one pixel. Each group of a grouped convolution is a convolution of its own, of some of the channels;
// this is slow if groups are narrow, since products are computed for 16 outputs at a time.
//
// Rounding errors. A result with n products is summed in chains of at most 128 products in registers, and these sums
// are added one after the other. So with u = 2^-24 the error of a result is at most (128 + n / 128 + 1) u times the
// same sum over absolute values, to first order in u. (N. J. Higham, "Accuracy and stability of numerical algorithms",
// 2002, section 3.1. The backward of the filter has up to 16 further partial sums.)
//
// Images and filters are float or bf16, the type T. All sums are in f32, and the results for y and grad_x are rounded
// when they are written. Where the processor multiplies pairs of bf16, A and B are copied as such pairs, and otherwise
// converted to f32; the bits are the same (kernels/cpu/simd/bf16_pairs.h).
//
// Only the shape decides how the work is divided. So the bits do not depend on the number of threads.
#pragma once

#include "gradamp/kernels/cpu/channel_affine.h"
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/simd/simd.h"
#include "gradamp/kernels/cpu/workers.h"

namespace gradamp::GRADAMP_SIMD {

/// The number of pixels in a group of the moments that direct_forward computes.
std::int64_t direct_moment_rows(const ConvolutionShape& shape);
/// y = x * weight [+ bias]; `bias` has out_channels elements or is null. `moments`, which may be null, are those of y
/// (of the f32 results): (groups, 2, out_channels) as in ChannelMoments (core/backend.h).
template <typename T>
void direct_forward(const ConvolutionShape& shape, const ConvolutionInput<T>& x, const T* weight, const float* bias,
                    T* y, float* moments, const Workers& workers);
template <typename T>
void direct_backward_input(const ConvolutionShape& shape, const T* grad_y, const T* weight, T* grad_x,
                           const Workers& workers);
template <typename T>
void direct_backward_filter(const ConvolutionShape& shape, const ConvolutionInput<T>& x, const T* grad_y,
                            float* grad_weight, const Workers& workers);

}  // namespace gradamp::GRADAMP_SIMD
