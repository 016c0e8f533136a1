// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// Calls body(offset) with the offset of every row's first element; `channels` is the length of a row.
template <typename Body>
void for_each_row(int threads, std::int64_t count, std::int64_t channels, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementwiseGrain / channels);
  parallel_ranges(threads, count / channels, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) body(row * channels);
  });
}

std::int64_t channels_of(const Tensor& x) { return x.shape()[x.shape().rank() - 1]; }

}  // namespace

void CpuBackend::softmax_forward(const Tensor& x, const Tensor& y) {
  const std::int64_t channels = channels_of(x);
  const float* inputs = x.data<float>();
  float* outputs = y.data<float>();
  for_each_row(threads_, x.count(), channels, [=](std::int64_t offset) {
    const float* in = inputs + offset;
    float* out = outputs + offset;
    float largest = -std::numeric_limits<float>::infinity();
    for (std::int64_t c = 0; c < channels; ++c) largest = std::fmax(largest, in[c]);
    double total = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      out[c] = std::exp(in[c] - largest);
      total += static_cast<double>(out[c]);
    }
    const auto sum = static_cast<float>(total);
    for (std::int64_t c = 0; c < channels; ++c) out[c] /= sum;
  });
}

void CpuBackend::softmax_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) {
  const std::int64_t channels = channels_of(y);
  const float* grads = grad_y.data<float>();
  const float* outputs = y.data<float>();
  float* results = grad_x.data<float>();
  for_each_row(threads_, y.count(), channels, [=](std::int64_t offset) {
    const float* grad = grads + offset;
    const float* output = outputs + offset;
    float* out = results + offset;
    double total = 0;
    for (std::int64_t c = 0; c < channels; ++c) total += static_cast<double>(grad[c]) * output[c];
    const auto product = static_cast<float>(total);
    for (std::int64_t c = 0; c < channels; ++c) out[c] = output[c] * (grad[c] - product);
  });
}

}  // namespace gradamp
