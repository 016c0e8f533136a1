// SPDX-License-Identifier: MIT
// Linear layers by oneDNN's row-major matrix product.
#include <vector>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/onednn.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// c (m, n) = op(a) op(b) with op(a) (m, k) and op(b) (k, n), all row-major and dense.
void matmul(const char* operation, int threads, bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n,
            std::int64_t k, const Tensor& a, const Tensor& b, const Tensor& c) {
  const dnnl_status_t status = with_onednn(operation, threads, [&] {
    return dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, a.data<float>(),
                      transpose_a ? m : k, b.data<float>(), transpose_b ? k : n, 0.0f, c.data<float>(), n);
  });
  check(status == dnnl_success, "{}: oneDNN's matrix product reports status {}", operation, static_cast<int>(status));
}

}  // namespace

void CpuBackend::linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) {
  const std::int64_t rows = y.shape()[0], outputs = y.shape()[1];
  matmul("linear_forward", threads_, false, true, rows, outputs, x.shape()[1], x, weight, y);
  if (!bias.defined()) return;
  const float* offset = bias.data<float>();
  parallel_for(threads_, rows, [&](std::int64_t row) {
    float* values = y.data<float>() + row * outputs;
    for (std::int64_t i = 0; i < outputs; ++i) values[i] += offset[i];
  });
}

void CpuBackend::linear_backward_input(const Tensor& grad_y, const Tensor& weight, const Tensor& grad_x) {
  matmul("linear_backward_input", threads_, false, false, grad_x.shape()[0], grad_x.shape()[1], grad_y.shape()[1],
         grad_y, weight, grad_x);
}

void CpuBackend::linear_backward_weight(const Tensor& x, const Tensor& grad_y, const Tensor& grad_weight) {
  matmul("linear_backward_weight", threads_, true, false, grad_weight.shape()[0], grad_weight.shape()[1], x.shape()[0],
         grad_y, x, grad_weight);
}

void CpuBackend::bias_backward(const Tensor& grad_y, const Tensor& grad_bias) {
  const std::int64_t channels = grad_bias.count();
  const std::int64_t rows = grad_y.count() / channels;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementwiseGrain / channels);
  const std::int64_t ranges = (rows + grain - 1) / grain;
  std::vector<float> partial(static_cast<std::size_t>(ranges * channels), 0.0f);
  parallel_ranges(threads_, rows, grain, [&](std::int64_t begin, std::int64_t end) {
    float* sums = partial.data() + begin / grain * channels;
    for (std::int64_t row = begin; row < end; ++row) {
      const float* grad = grad_y.data<float>() + row * channels;
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) sums[c] += grad[c];
    }
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (std::int64_t range = 0; range < ranges; ++range)
      sum += partial[static_cast<std::size_t>(range * channels + c)];
    grad_bias.data<float>()[c] = static_cast<float>(sum);
  }
}

}  // namespace gradamp
