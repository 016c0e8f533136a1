// SPDX-License-Identifier: MIT
#include "gradamp/core/bf16.h"
#include "gradamp/core/philox.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {

void CpuBackend::relu_forward(const Tensor& x, const Tensor& y) {
  const float* in = x.data<float>();
  float* out = y.data<float>();
  parallel_ranges(threads_, x.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) out[i] = in[i] < 0.0f ? 0.0f : in[i];  // keeps a NaN
  });
}

void CpuBackend::relu_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) {
  const float* grad = grad_y.data<float>();
  const float* output = y.data<float>();
  float* out = grad_x.data<float>();
  parallel_ranges(threads_, y.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) out[i] = output[i] > 0.0f ? grad[i] : 0.0f;
  });
}

void CpuBackend::add(const Tensor& a, const Tensor& b, const Tensor& sum) {
  const float* left = a.data<float>();
  const float* right = b.data<float>();
  float* out = sum.data<float>();
  parallel_ranges(threads_, a.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) out[i] = left[i] + right[i];
  });
}

void CpuBackend::mul(const Tensor& a, const Tensor& b, const Tensor& product) {
  const float* left = a.data<float>();
  const float* right = b.data<float>();
  float* out = product.data<float>();
  parallel_ranges(threads_, a.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) out[i] = left[i] * right[i];
  });
}

void CpuBackend::unary_forward(UnaryFunction function, const Tensor& x, const Tensor& y) {
  const float* in = x.data<float>();
  float* out = y.data<float>();
  with_function(function, [&](auto f) {
    parallel_ranges(threads_, x.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) out[i] = f.value(in[i]);
    });
  });
}

void CpuBackend::unary_backward(UnaryFunction function, const Tensor& grad_y, const Tensor& x, const Tensor& grad_x) {
  const float* grad = grad_y.data<float>();
  const float* in = x.data<float>();
  float* out = grad_x.data<float>();
  with_function(function, [&](auto f) {
    parallel_ranges(threads_, x.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) out[i] = f.derivative(in[i]) * grad[i];
    });
  });
}

void CpuBackend::scale(const Tensor& x, const Tensor& scale, std::int64_t index, const Tensor& y) {
  const float* in = x.data<float>();
  const float factor = scale.data<float>()[index];
  float* out = y.data<float>();
  parallel_ranges(threads_, x.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) out[i] = factor * in[i];
  });
}

void CpuBackend::fill(const Tensor& tensor, float value) { std::fill_n(tensor.data<float>(), tensor.count(), value); }

void CpuBackend::cast(const Tensor& x, const Tensor& y) {
  const bool from_bf16_bits = x.dtype() == DType::kBF16, to_bf16_bits = y.dtype() == DType::kBF16;
  parallel_ranges(threads_, x.count(), kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float value = from_bf16_bits ? from_bf16(static_cast<const std::uint16_t*>(x.raw_data())[i])
                                         : static_cast<const float*>(x.raw_data())[i];
      if (to_bf16_bits) {
        static_cast<std::uint16_t*>(y.raw_data())[i] = to_bf16(value);
      } else {
        static_cast<float*>(y.raw_data())[i] = value;
      }
    }
  });
}

namespace {

/// y = x / (1 - probability) if the mask of this step keeps the element, else 0.
void apply_dropout(int threads, const Tensor& x, const DropoutParams& params, const StepState& state, const Tensor& y) {
  const float* in = x.data<float>();
  float* out = y.data<float>();
  const std::int64_t* counters = state.counters.data<std::int64_t>();
  const auto seed = static_cast<std::uint64_t>(counters[kSeed]);
  const std::uint64_t first_block = static_cast<std::uint64_t>(counters[kStep]) << 32;
  const float kept = 1.0f / (1.0f - params.probability);
  parallel_ranges(threads, x.count(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin / 4; block * 4 < end; ++block) {
      const PhiloxBlock random =
          philox(seed, RandomStream::kDropout, params.substream, first_block + static_cast<std::uint64_t>(block));
      for (std::int64_t i = block * 4; i < std::min(end, block * 4 + 4); ++i) {
        out[i] = uniform_float(random.word[i % 4]) < params.probability ? 0.0f : in[i] * kept;
      }
    }
  });
}

}  // namespace

void CpuBackend::dropout_forward(const Tensor& x, const DropoutParams& params, const StepState& state,
                                 const Tensor& y) {
  apply_dropout(threads_, x, params, state, y);
}

void CpuBackend::dropout_backward(const Tensor& grad_y, const DropoutParams& params, const StepState& state,
                                  const Tensor& grad_x) {
  apply_dropout(threads_, grad_y, params, state, grad_x);
}

}  // namespace gradamp
