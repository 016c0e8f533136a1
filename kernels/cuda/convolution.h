// SPDX-License-Identifier: MIT
// Launches of the convolution kernels: implicit GEMM over NHWC images.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/channel_moments.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Extents of a convolution: x (N, H, W, C), filter (K, R, S, C), y (N, P, Q, K). Every tensor has fewer than 2^31
/// elements.
struct ConvolutionShape {
  int batch, height, width, in_channels;
  int out_height, out_width, out_channels;
  int kernel_h, kernel_w;
  int stride, padding;

  int pixels_out() const { return batch * out_height * out_width; }
  int taps() const { return kernel_h * kernel_w; }
};

/// Images and filters are bf16 for Precision::kBF16, else f32. bias (or null) is f32.
struct ConvolutionForward {
  const void *x, *filter;
  const float* bias;
  void* y;
  ChannelMomentSums moments;  // of y
};
void launch_convolution(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                        const ConvolutionForward& tensors);

/// What a kernel does with its result.
enum class Update {
  kStore,
  kAdd  // adds it, rounded to the type of the memory, to what is there
};
void launch_convolution_backward_input(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                                       const void* grad_y, const void* filter, Update update, void* grad_x);

/// Workspace of launch_convolution_backward_filter, in floats.
std::size_t backward_filter_workspace(Precision precision, const ConvolutionShape& shape);
/// grad_filter is f32 (K, R, S, C).
void launch_convolution_backward_filter(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                                        const void* x, const void* grad_y, float* grad_filter, float* workspace);

}  // namespace gradamp::GRADAMP_GPU
