// SPDX-License-Identifier: MIT
// Launches of batch norm + residual + ReLU over rows of C channels (NHWC seen as (N H W, C)).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/parameters.h"
#include "kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

struct Rows {
  std::int64_t rows = 0;
  int channels = 0;
};

/// Pixels of a group of moments, here and in the convolution's epilogue.
inline constexpr int kMomentRows = 128;

/// Mean and sum of squared deviations of each group of kMomentRows rows: moments f32 (groups, 2, C).
void launch_moments(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* moments);

/// What a forward in training makes of the moments; all f32 (C).
struct BatchStatistics {
  float* mean;
  float* inverse_std;
  float* running_mean;
  float* running_var;
};

/// Doubles of working memory that launch_statistics needs.
std::size_t statistics_workspace(const Rows& rows);
/// The groups' moments put together. `completion_counters`: zeros, and zeros again afterwards; kMaxCompletionCounters
/// of them.
void launch_statistics(cudaStream_t stream, const Rows& rows, const float* moments, const BatchNormParams& params,
                       const BatchStatistics& statistics, double* workspace, unsigned* completion_counters);

/// Tensors of the apply pass. x, residual (or null) and y are of the activation type, the others f32 (C).
struct BatchNormApply {
  const void* x;
  const void* residual;
  void* y;
  const float *gamma, *beta, *mean;
  const float* inverse_std;  // in training
  const float* running_var;  // in evaluation, where inverse_std is null
};
/// y = [relu](gamma (x - mean) inverse_std + beta [+ residual]).
void launch_batch_norm_apply(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                             const BatchNormApply& tensors);

/// Tensors of the backward; of the activation type but for f32 (C): gamma, beta, mean, inverse_std, grad_gamma and
/// grad_beta.
struct BatchNormGradients {
  const void *grad_y, *x;
  const void* y;  // where the ReLU's mask cannot be read off x, else null
  const float *gamma, *beta, *mean, *inverse_std;
  void* grad_x;
  float *grad_gamma, *grad_beta;
  void* grad_residual;  // out, or null
};
/// Doubles of working memory that launch_batch_norm_backward needs.
std::size_t batch_norm_backward_workspace(const Rows& rows);
/// One reduction and one apply.
void launch_batch_norm_backward(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                                const BatchNormGradients& tensors, double* workspace, unsigned* completion_counters);

/// Doubles of working memory that launch_column_sums needs.
std::size_t column_sums_workspace(const Rows& rows);
/// sums f32 (C) of x over the rows.
void launch_column_sums(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* sums,
                        double* workspace, unsigned* completion_counters);

/// A launch draws from at most so many completion_counters: one for every slice of channels.
inline constexpr int kMaxCompletionCounters = 1024;

}  // namespace gradamp::GRADAMP_GPU
