// SPDX-License-Identifier: MIT
// Launches of the convolution kernels for compute capability 9.0: bf16, by TMA and wgmma. Their sums of products are
// rounded otherwise than mma.sync's, so their bits differ from those of convolution.h. Everything else is the same.
#pragma once

#include <cstddef>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Whether the kernels serve a shape: channels are multiples of 8 (TMA's strides are multiples of 16 bytes) and, for
/// the filter's gradient, input channels of 64 (a box has channels of one tap); strides are at most 8, and filters and
/// padding at most 64, well within the range of TMA's corners and offsets.
bool hopper_suits(const ConvolutionShape& shape);
bool hopper_suits_backward_filter(const ConvolutionShape& shape);

void launch_hopper_convolution(cudaStream_t stream, const ConvolutionShape& shape, const ConvolutionForward& tensors);
/// The sums of a NormOfInput need backward_input_can_sum().
void launch_hopper_backward_input(cudaStream_t stream, const ConvolutionShape& shape,
                                  const ConvolutionBackwardInput& tensors);
/// Workspace of launch_hopper_backward_filter, in floats.
std::size_t hopper_backward_filter_workspace(const ConvolutionShape& shape);
/// grad_filter is f32 (K, R, S, C).
void launch_hopper_backward_filter(cudaStream_t stream, const ConvolutionShape& shape, const void* x,
                                   const void* grad_y, float* grad_filter, float* workspace);

}  // namespace gradamp::GRADAMP_GPU
