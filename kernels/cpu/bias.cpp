// SPDX-License-Identifier: MIT
// The gradient of a bias: sums over rows.
#include <vector>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {

void CpuBackend::bias_backward(const Tensor& grad_y, const Tensor& grad_bias) {
  const std::int64_t channels = grad_bias.count();
  const std::int64_t rows = grad_y.count() / channels;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementwiseGrain / channels);
  const std::int64_t ranges = (rows + grain - 1) / grain;
  std::vector<float> partial(static_cast<std::size_t>(ranges * channels), 0.0f);
  with_element_type(grad_y.dtype(), [&]<typename T>(T) {
    parallel_ranges(threads_, rows, grain, [&](std::int64_t begin, std::int64_t end) {
      float* sums = partial.data() + begin / grain * channels;
      for (std::int64_t row = begin; row < end; ++row) {
        const T* grad = grad_y.data<T>() + row * channels;
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) sums[c] += grad[c];
      }
    });
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (std::int64_t range = 0; range < ranges; ++range)
      sum += partial[static_cast<std::size_t>(range * channels + c)];
    grad_bias.data<float>()[c] = static_cast<float>(sum);
  }
}

}  // namespace gradamp
