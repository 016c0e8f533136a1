// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

std::int64_t channels_of(const Tensor& x) { return x.shape()[x.shape().rank() - 1]; }

/// Calls body(offset) with the offset of every row's first element; `channels` is the length of a row.
template <typename Body>
void for_each_row(int threads, std::int64_t count, std::int64_t channels, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementwiseGrain / channels);
  parallel_ranges(threads, count / channels, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) body(row * channels);
  });
}

template <typename T>
void softmax_row(const T* in, std::int64_t channels, T* out) {
  float largest = -std::numeric_limits<float>::infinity();
  // Skips NaNs, which make the sum a NaN. With std::fmax GCC 12 ends with an internal error on aarch64.
  for (std::int64_t c = 0; c < channels; ++c) largest = std::max(largest, static_cast<float>(in[c]));
  double total = 0;
  for (std::int64_t c = 0; c < channels; ++c) total += static_cast<double>(std::exp(in[c] - largest));
  const auto sum = static_cast<float>(total);
  for (std::int64_t c = 0; c < channels; ++c) out[c] = std::exp(in[c] - largest) / sum;
}

template <typename T>
void softmax_backward_row(const T* grad, const T* output, std::int64_t channels, T* out) {
  double total = 0;
  for (std::int64_t c = 0; c < channels; ++c) total += static_cast<double>(grad[c]) * static_cast<double>(output[c]);
  const auto product = static_cast<float>(total);
  for (std::int64_t c = 0; c < channels; ++c) out[c] = output[c] * (grad[c] - product);
}

}  // namespace

void CpuBackend::softmax_forward(const Tensor& x, const Tensor& y) {
  const std::int64_t channels = channels_of(x);
  with_element_type(x.dtype(), [&]<typename T>(T) {
    for_each_row(threads_, x.count(), channels, [channels, in = x.data<T>(), out = y.data<T>()](std::int64_t offset) {
      softmax_row(in + offset, channels, out + offset);
    });
  });
}

void CpuBackend::softmax_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) {
  const std::int64_t channels = channels_of(y);
  with_element_type(y.dtype(), [&]<typename T>(T) {
    const T *grad = grad_y.data<T>(), *output = y.data<T>();
    for_each_row(threads_, y.count(), channels, [=, out = grad_x.data<T>()](std::int64_t offset) {
      softmax_backward_row(grad + offset, output + offset, channels, out + offset);
    });
  });
}

}  // namespace gradamp
