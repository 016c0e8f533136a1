// SPDX-License-Identifier: MIT
// The convolution and its two gradients by their definitions, with one thread per element of the result. They are the
// reference for the tiled kernels (kernels/cuda/convolution.h), and easier to read first. Slow.
#pragma once

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// A convolution that may have what the tiled kernels do not (Conv2dParams in core/operation_params.h).
struct GeneralConvolution {
  ConvolutionShape shape;
  int dilation = 1, groups = 1;
};

/// y (N, P, Q, K) = convolution of x (N, H, W, C) with filter (K, R, S, C / groups) + bias (K), by f32 fused
/// multiply-adds. x, filter and y have the element type `type`, f32 or bf16. `bias` may be null.
void launch_naive_convolution(cudaStream_t stream, DType type, const GeneralConvolution& convolution, const void* x,
                              const void* filter, const float* bias, void* y);

/// grad_x (N, H, W, C) from grad_y (N, P, Q, K) and filter; all of `type`.
void launch_naive_convolution_backward_input(cudaStream_t stream, DType type, const GeneralConvolution& convolution,
                                             const void* grad_y, const void* filter, void* grad_x);

/// grad_filter, f32 (K, R, S, C / groups), from x and grad_y of `type`.
void launch_naive_convolution_backward_filter(cudaStream_t stream, DType type, const GeneralConvolution& convolution,
                                              const void* x, const void* grad_y, float* grad_filter);

}  // namespace gradamp::GRADAMP_GPU
