// SPDX-License-Identifier: MIT
#include <functional>

#include "gradamp/core/philox.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// y[i] = function(inputs[i]...), computed in f32. The inputs have y's type.
template <typename Function, typename... Inputs>
void map(int threads, const Function& function, const Tensor& y, const Inputs&... inputs) {
  with_element_type(y.dtype(), [&]<typename T>(T) {
    const auto run = [threads, count = y.count(), out = y.data<T>(), function](const auto*... in) {
      parallel_ranges(threads, count, kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) out[i] = function(static_cast<float>(in[i])...);
      });
    };
    run(inputs.template data<T>()...);
  });
}

}  // namespace

void CpuBackend::relu_forward(const Tensor& x, const Tensor& y) {
  const auto relu = [](float in) { return in < 0.0f ? 0.0f : in; };  // keeps a NaN
  map(threads_, relu, y, x);
}

void CpuBackend::relu_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) {
  const auto mask = [](float grad, float output) { return output > 0.0f ? grad : 0.0f; };
  map(threads_, mask, grad_x, grad_y, y);
}

void CpuBackend::add(const Tensor& a, const Tensor& b, const Tensor& sum) {
  map(threads_, std::plus<float>(), sum, a, b);
}

void CpuBackend::mul(const Tensor& a, const Tensor& b, const Tensor& product) {
  map(threads_, std::multiplies<float>(), product, a, b);
}

void CpuBackend::unary_forward(UnaryFunction function, const Tensor& x, const Tensor& y) {
  with_function(function, [&](auto f) {
    const auto value = [f](float in) { return f.value(in); };
    map(threads_, value, y, x);
  });
}

void CpuBackend::unary_backward(UnaryFunction function, const Tensor& grad_y, const Tensor& x, const Tensor& grad_x) {
  with_function(function, [&](auto f) {
    const auto gradient = [f](float grad, float in) { return f.derivative(in) * grad; };
    map(threads_, gradient, grad_x, grad_y, x);
  });
}

void CpuBackend::scale(const Tensor& x, const Tensor& scale, std::int64_t index, const Tensor& y) {
  const auto times = [factor = scale.data<float>()[index]](float in) { return factor * in; };
  map(threads_, times, y, x);
}

void CpuBackend::fill(const Tensor& tensor, float value) { std::fill_n(tensor.data<float>(), tensor.count(), value); }

void CpuBackend::cast(const Tensor& x, const Tensor& y) {
  with_element_type(x.dtype(), [&]<typename From>(From) {
    with_element_type(y.dtype(), [&]<typename To>(To) {
      parallel_ranges(threads_, x.count(), kElementwiseGrain,
                      [in = x.data<From>(), out = y.data<To>()](std::int64_t begin, std::int64_t end) {
#pragma omp simd
                        for (std::int64_t i = begin; i < end; ++i) out[i] = static_cast<float>(in[i]);
                      });
    });
  });
}

namespace {

/// y = x / (1 - probability) if the mask of this step keeps the element, else 0.
template <typename T>
void apply_dropout(int threads, const Tensor& x, const DropoutParams& params, const StepState& state, const Tensor& y) {
  const T* in = x.data<T>();
  T* out = y.data<T>();
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
  with_element_type(x.dtype(), [&]<typename T>(T) { apply_dropout<T>(threads_, x, params, state, y); });
}

void CpuBackend::dropout_backward(const Tensor& grad_y, const DropoutParams& params, const StepState& state,
                                  const Tensor& grad_x) {
  dropout_forward(grad_y, params, state, grad_x);
}

}  // namespace gradamp
