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
  float *running_mean, *running_var;  // updated in training, unless null; read in evaluation
  // Only in training:
  const float* moments;       // (2, C), mean and sum of squared deviations; null in evaluation
  std::int64_t moments_rows;  // of which they are: x's, or of a batch of which x is a part
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
  float *grad_gamma, *grad_beta;  // out, or null
  void* grad_residual;            // out, or null
  const float* sums;              // as in BatchNormBackward
  std::int64_t sums_rows;         // of which they are
  bool is_masked;                 // as in BatchNormBackward
};
/// Workspace of launch_batch_norm_sums, in doubles, and the same with the sums behind it.
std::size_t batch_norm_sums_workspace(const Rows& rows);
std::size_t batch_norm_backward_workspace(const Rows& rows);
/// Computes the sums, f32 (2, C), and grad_residual.
void launch_batch_norm_sums(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                            const BatchNormGradients& tensors, float* sums, double* workspace,
                            unsigned* completion_counters);
/// From the sums the other gradients. grad_residual, if it is not null, has been computed with them.
void launch_batch_norm_backward(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                                const BatchNormGradients& tensors);

/// As Backend::merge_pairs, of C channels.
void launch_merge_pairs(cudaStream_t stream, BatchNormPair kind, const float* of_shards, const float* images,
                        std::int64_t shards, std::int64_t pixels, std::int64_t channels, float* merged);

/// Workspace of launch_column_sums, in doubles.
std::size_t column_sums_workspace(const Rows& rows);
/// Computes sums, f32 (C), of x over the rows.
void launch_column_sums(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* sums,
                        double* workspace, unsigned* completion_counters);

}  // namespace gradamp::GRADAMP_GPU
