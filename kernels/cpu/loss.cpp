// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "gradamp/kernels/cpu/cpu_backend.h"

namespace gradamp {

// A batch is a few hundred rows of 10 or 100 values, so one thread computes it in order.
void CpuBackend::softmax_cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyParams& params,
                                       const StepState& state, const Tensor& loss, const Tensor& grad_logits) {
  const std::int64_t rows = logits.shape()[0], classes = logits.shape()[1];
  const double share = 1.0 / static_cast<double>(params.divisor > 0 ? params.divisor : rows);
  const double smoothing = params.label_smoothing;
  // The targets of the classes that are not the label's, and of the label's.
  const double other_target = smoothing / static_cast<double>(classes), target = 1.0 - smoothing + other_target;
  double loss_sum = 0;
  std::int64_t correct = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* z = logits.data<float>() + row * classes;
    float* grad = grad_logits.data<float>() + row * classes;
    const std::int32_t label = labels.data<std::int32_t>()[row];
    const std::int64_t largest = std::max_element(z, z + classes) - z;
    double total = 0;
    for (std::int64_t i = 0; i < classes; ++i) total += std::exp(double{z[i]} - z[largest]);
    // A label that is no class makes the loss a NaN, which marks the step.
    const bool is_class = label >= 0 && label < classes;
    const float of_label = is_class ? z[label] : std::numeric_limits<float>::quiet_NaN();
    if (smoothing == 0) {
      loss_sum += std::log(total) + z[largest] - of_label;
    } else {
      double mean = 0;  // of the differences, which are smaller numbers than the logits
      for (std::int64_t i = 0; i < classes; ++i) mean += (double{z[i]} - z[largest]) / static_cast<double>(classes);
      loss_sum += std::log(total) - (1.0 - smoothing) * (double{of_label} - z[largest]) - smoothing * mean;
    }
    for (std::int64_t i = 0; i < classes; ++i) {
      const double probability = std::exp(double{z[i]} - z[largest]) / total;
      grad[i] = static_cast<float>((probability - (i == label ? target : other_target)) * share);
    }
    correct += largest == label ? 1 : 0;
  }
  *loss.data<float>() = static_cast<float>(loss_sum * share);
  state.metrics.data<double>()[kLossSum] += loss_sum;
  state.metrics.data<double>()[kCorrect] += static_cast<double>(correct);
  std::int64_t* counters = state.counters.data<std::int64_t>();
  if (!std::isfinite(loss_sum) && counters[kFirstBadStep] == 0) counters[kFirstBadStep] = counters[kStep] + 1;
}

void CpuBackend::add_metrics(const Tensor& rows, const StepState& state) {
  const double* row = rows.data<double>();
  double* metrics = state.metrics.data<double>();
  std::int64_t* counters = state.counters.data<std::int64_t>();
  for (std::int64_t i = 0; i < rows.shape()[0]; ++i, row += kStepMetricCount) {
    for (int metric = 0; metric < kStepMetricCount; ++metric) metrics[metric] += row[metric];
    if (!std::isfinite(row[kLossSum]) && counters[kFirstBadStep] == 0) counters[kFirstBadStep] = counters[kStep] + 1;
  }
}

}  // namespace gradamp
