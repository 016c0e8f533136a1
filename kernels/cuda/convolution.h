// SPDX-License-Identifier: MIT
// Launches of the convolution kernels: implicit GEMM over NHWC images.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/channel_pairs.h"
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
  ChannelPairs moments;  // of y
};
void launch_convolution(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                        const ConvolutionForward& tensors);

/// What a kernel does with its result.
enum class Update {
  kStore,
  kAdd  // adds it, rounded to the type of the memory, to what is there
};

/// The batch norm whose result a convolution reads: with the gradient of that result, the convolution computes g, which
/// is the gradient where the ReLU passed it, else 0, and its sums. All but x and y are f32 (C).
struct NormOfInput {
  const void* x;  // of the batch norm, in the activation type
  const void* y;  // the result, if x does not determine the ReLU's mask, else null
  const float *gamma, *beta, *mean, *inverse_std;
  bool relu;
  ChannelPairs sums;  // of g and of g (x - mean)
};

/// grad_x holds g if there is a norm. It must not be there unless backward_input_can_sum().
struct ConvolutionBackwardInput {
  const void *grad_y, *filter;
  void* grad_x;
  Update update = Update::kStore;
  NormOfInput norm = {};  // no sums.result: none
};
void launch_convolution_backward_input(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                                       const ConvolutionBackwardInput& tensors);
/// Whether it can compute the sums of a NormOfInput: in one launch, with 16-byte accesses and as many tiles of pixels
/// as ChannelPairs has groups.
bool backward_input_can_sum(Precision precision, const ConvolutionShape& shape);

/// Workspace of launch_convolution_backward_filter, in floats.
std::size_t backward_filter_workspace(Precision precision, const ConvolutionShape& shape);
/// grad_filter is f32 (K, R, S, C).
void launch_convolution_backward_filter(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                                        const void* x, const void* grad_y, float* grad_filter, float* workspace);

}  // namespace gradamp::GRADAMP_GPU
