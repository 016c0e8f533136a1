// SPDX-License-Identifier: MIT
// Launches of batch norm + residual + ReLU over rows of C channels: NHWC viewed as (N H W, C).
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/kernels/cuda/channel_pairs.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Computes the moments of x, if its convolution has not.
void launch_moments(cudaStream_t stream, DType type, const void* x, const ChannelPairs& sums);

/// Tensors of the forward. x, residual (or null) and y have the activation type, the others are f32 (C).
struct BatchNormApply {
  const void* x;
  const void* residual;
  void* y;
  const float *gamma, *beta;
  float *running_mean, *running_var;  // updated in training, read in evaluation
  // Only in training:
  const float* moments;       // of x, (2, C), mean and sum of squared deviations; null in evaluation
  float *mean, *inverse_std;  // out
};
/// y = [relu](gamma (x - mean) inverse_std + beta [+ residual]).
void launch_batch_norm_apply(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                             const BatchNormApply& tensors);

/// Tensors of the backward. gamma, beta, mean, inverse_std, grad_gamma and grad_beta are f32 (C), the others have the
/// activation type.
struct BatchNormGradients {
  const void *grad_y, *x;
  const void* y;  // if x does not determine the ReLU's mask, else null
  const float *gamma, *beta, *mean, *inverse_std;
  void* grad_x;
  float *grad_gamma, *grad_beta;
  void* grad_residual;  // out, or null
  const float* sums;    // as in BatchNormBackward, or null
};
/// Workspace of launch_batch_norm_backward, in doubles.
std::size_t batch_norm_backward_workspace(const Rows& rows);
/// Launches one reduction, unless there are sums already, and one apply.
void launch_batch_norm_backward(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                                const BatchNormGradients& tensors, double* workspace, unsigned* completion_counters);

/// Workspace of launch_column_sums, in doubles.
std::size_t column_sums_workspace(const Rows& rows);
/// Computes sums, f32 (C), of x over the rows.
void launch_column_sums(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* sums,
                        double* workspace, unsigned* completion_counters);

}  // namespace gradamp::GRADAMP_GPU
