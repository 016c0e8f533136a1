// SPDX-License-Identifier: MIT
// Launches of batch norm + residual + ReLU over rows of C channels: NHWC viewed as (N H W, C).
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

struct Rows {
  std::int64_t rows = 0;
  int channels = 0;
};

/// Rows (pixels) per group of moments, here and in the convolution's epilogue.
inline constexpr int kMomentRows = 128;

/// Computes mean and sum of squared deviations of each group of kMomentRows rows: moments f32 (groups, 2, C).
void launch_moments(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* moments);

/// What the forward in training computes from the moments; all f32 (C).
struct BatchStatistics {
  float* mean;
  float* inverse_std;
  float* running_mean;
  float* running_var;
};

/// Workspace of launch_statistics, in doubles.
std::size_t statistics_workspace(const Rows& rows);
/// Combines the groups' moments. `completion_counters`: kMaxCompletionCounters zeros, and zeros again afterwards.
void launch_statistics(cudaStream_t stream, const Rows& rows, const float* moments, const BatchNormParams& params,
                       const BatchStatistics& statistics, double* workspace, unsigned* completion_counters);

/// Tensors of the apply pass. x, residual (or null) and y have the activation type, the others are f32 (C).
struct BatchNormApply {
  const void* x;
  const void* residual;
  void* y;
  const float *gamma, *beta, *mean;
  const float* inverse_std;  // in training; null in evaluation
  const float* running_var;  // in evaluation
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
};
/// Workspace of launch_batch_norm_backward, in doubles.
std::size_t batch_norm_backward_workspace(const Rows& rows);
/// Launches one reduction and one apply.
void launch_batch_norm_backward(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                                const BatchNormGradients& tensors, double* workspace, unsigned* completion_counters);

/// Workspace of launch_column_sums, in doubles.
std::size_t column_sums_workspace(const Rows& rows);
/// Computes sums, f32 (C), of x over the rows.
void launch_column_sums(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* sums,
                        double* workspace, unsigned* completion_counters);

/// Maximum number of completion counters of a launch: one per slice of channels.
inline constexpr int kMaxCompletionCounters = 1024;

}  // namespace gradamp::GRADAMP_GPU
