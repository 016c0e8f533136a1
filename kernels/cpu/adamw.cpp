// SPDX-License-Identifier: MIT
// AdamW and the norm of all gradients on the CPU. As in optimizer.cpp, the number of threads does not change a bit.
#include <cmath>
#include <cstdint>
#include <vector>

#include "gradamp/kernels/cpu/arena_step.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// The arena as plain pointers, and the step's parameters.
struct AdamWStep {
  float *weights = nullptr, *first_moments = nullptr, *second_moments = nullptr;
  const float* gradients = nullptr;
  float *signed_sums = nullptr, *absolute_sums = nullptr;  // by weight; null if not accumulated
  float learning_rate = 0, gradient_scale = 1;
  float beta1 = 0, beta2 = 0, rest1 = 0, rest2 = 0;  // rest: 1 - beta
  float inverse_first = 1, inverse_sqrt_second = 1;  // the bias corrections 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
  float epsilon = 0;
};

/// Updates elements [begin, end), multiples of kDecayGroup, with one factor and one decay.
template <bool kAccumulate>
void update_elements(const AdamWStep& step, float factor, float decay, std::int64_t begin, std::int64_t end) {
  static_assert(kDecayGroup * sizeof(float) % 64 == 0);
  const std::int64_t count = end - begin;
  float* const w = std::assume_aligned<64>(step.weights + begin);
  float* const m = std::assume_aligned<64>(step.first_moments + begin);
  float* const v = std::assume_aligned<64>(step.second_moments + begin);
  const float* const gradients = std::assume_aligned<64>(step.gradients + begin);
  float* const signed_sums = kAccumulate ? step.signed_sums + begin : nullptr;
  float* const absolute_sums = kAccumulate ? step.absolute_sums + begin : nullptr;
  const float corrected = factor * step.inverse_first;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (kAccumulate) {
      signed_sums[i] += gradients[i];
      absolute_sums[i] += std::fabs(gradients[i]);
    }
    const float g = step.gradient_scale * gradients[i];
    m[i] = step.beta1 * m[i] + step.rest1 * g;
    v[i] = step.beta2 * v[i] + step.rest2 * g * g;
    const float change = corrected * m[i] / (step.inverse_sqrt_second * std::sqrt(v[i]) + step.epsilon);
    w[i] -= step.learning_rate * (change + decay * w[i]);
  }
}

double sum_of_squares(const float* values, std::int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

}  // namespace

void CpuBackend::adamw_step(const Arena& arena, const Tensor& factors, const Tensor& gradient_scale,
                            const StepState& state, const AdamWParams& params) {
  if (!begin_arena_step(arena, state, params.accumulate, params.granularity, threads_)) return;
  const auto t = static_cast<double>(state.counters.data<std::int64_t>()[kStep] + 1);
  AdamWStep step{.weights = arena.weights.data<float>(),
                 .first_moments = arena.momentum.data<float>(),
                 .second_moments = arena.second_moments.data<float>(),
                 .gradients = arena.gradients.data<float>(),
                 .learning_rate = state.learning_rate.data<float>()[0],
                 .gradient_scale = gradient_scale.defined() ? gradient_scale.data<float>()[0] : 1.0f,
                 .beta1 = static_cast<float>(params.beta1),
                 .beta2 = static_cast<float>(params.beta2),
                 .rest1 = static_cast<float>(1 - params.beta1),
                 .rest2 = static_cast<float>(1 - params.beta2),
                 .inverse_first = static_cast<float>(1 / (1 - std::pow(params.beta1, t))),
                 .inverse_sqrt_second = static_cast<float>(1 / std::sqrt(1 - std::pow(params.beta2, t))),
                 .epsilon = params.epsilon};
  if (params.accumulate && params.granularity == Granularity::kWeight) {
    step.signed_sums = arena.signed_sums.data<float>();
    step.absolute_sums = arena.absolute_sums.data<float>();
  }
  const auto update = step.signed_sums != nullptr ? update_elements<true> : update_elements<false>;
  const float* const factor = factors.data<float>();
  const ArenaDecays decays(arena, params.weight_decay);
  for_each_layer_part(arena, threads_, [&](std::size_t layer, std::int64_t begin, std::int64_t end) {
    decays.for_each_run(begin, end, [&](float decay, std::int64_t first, std::int64_t last) {
      update(step, factor[layer], decay, first, last);
    });
  });
}

void CpuBackend::clip_scale(const Tensor& gradients, double max_norm, const Tensor& scale) {
  const float* const values = gradients.data<float>();
  const std::int64_t count = gradients.count();
  std::vector<double> parts(static_cast<std::size_t>((count + kElementwiseGrain - 1) / kElementwiseGrain));
  parallel_ranges(threads_, count, kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(begin / kElementwiseGrain)] = sum_of_squares(values + begin, end - begin);
  });
  double sum = 0;
  for (const double part : parts) sum += part;
  const double ratio = max_norm / (std::sqrt(sum) + kClipEpsilon);
  scale.data<float>()[0] = ratio < 1 ? static_cast<float>(ratio) : 1.0f;
}

}  // namespace gradamp
