// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Softmax cross-entropy of logits (rows, classes), forward and backward in one pass. `counters` and `metrics` are
/// StepState's.
struct SoftmaxLoss {
  int rows, classes;
  int divisor;  // of the sum over the rows
  const float* logits;
  const std::int32_t* labels;
  float* loss;         // out: the sum over the rows, divided
  float* grad_logits;  // out: its gradient
  std::int64_t* counters;
  double* metrics;
};
/// Workspace of launch_softmax_cross_entropy, in doubles.
std::size_t softmax_loss_workspace(int rows);
/// `label_smoothing`: see CrossEntropyParams. `completion_counters`: at least one zero, and zero again afterwards.
void launch_softmax_cross_entropy(cudaStream_t stream, const SoftmaxLoss& loss, double label_smoothing,
                                  double* workspace, unsigned* completion_counters);

/// Adds `rows` rows of StepState's metrics to `metrics`, in their order; marks `counters` if a loss is not finite.
void launch_add_metrics(cudaStream_t stream, std::int64_t rows, const double* values, std::int64_t* counters,
                        double* metrics);

}  // namespace gradamp::GRADAMP_GPU
