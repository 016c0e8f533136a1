// SPDX-License-Identifier: MIT
// The optimizer on the CPU: one pass over the arena does statistics and SGD. Elements are independent and sums have a
// fixed order, so the number of threads does not change a bit.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "gradamp/core/random_selection.h"
#include "gradamp/kernels/cpu/arena_step.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/layer_measures.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// The arena as plain pointers, and the step's parameters.
struct SgdStep {
  float* weights = nullptr;
  const float* gradients = nullptr;
  float* momentum = nullptr;
  float* signed_sums = nullptr;  // by weight; null if not accumulated
  float* absolute_sums = nullptr;
  const float* factors = nullptr;
  float learning_rate = 0;
  float momentum_factor = 0;
};

/// Updates elements [begin, end) of one layer; both are multiples of kDecayGroup.
template <bool kAccumulate, bool kNesterov>
void update_elements(const SgdStep& step, float factor, float decay, std::int64_t begin, std::int64_t end) {
  static_assert(kDecayGroup * sizeof(float) % 64 == 0);
  const std::int64_t count = end - begin;
  float* const w = std::assume_aligned<64>(step.weights + begin);
  const float* const g = std::assume_aligned<64>(step.gradients + begin);
  float* const v = std::assume_aligned<64>(step.momentum + begin);
  float* const signed_sums = kAccumulate ? step.signed_sums + begin : nullptr;
  float* const absolute_sums = kAccumulate ? step.absolute_sums + begin : nullptr;
  const float rate = step.learning_rate, mu = step.momentum_factor;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float gradient = g[i];
    if constexpr (kAccumulate) {
      signed_sums[i] += gradient;
      absolute_sums[i] += std::fabs(gradient);
    }
    const float change = factor * gradient + decay * w[i];
    const float velocity = mu * v[i] + change;
    v[i] = velocity;
    w[i] -= rate * (kNesterov ? change + mu * velocity : velocity);
  }
}

template <bool kAccumulate, bool kNesterov>
void update(const SgdStep& step, const Arena& arena, float weight_decay, int threads) {
  const ArenaDecays decays(arena, weight_decay);
  for_each_layer_part(arena, threads, [&](std::size_t layer, std::int64_t begin, std::int64_t end) {
    decays.for_each_run(begin, end, [&](float decay, std::int64_t first, std::int64_t last) {
      update_elements<kAccumulate, kNesterov>(step, step.factors[layer], decay, first, last);
    });
  });
}

bool all_finite(const float* values, std::int64_t count, int threads) {
  std::atomic<bool> finite = true;
  parallel_ranges(threads, count, kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    std::uint32_t largest = 0;  // magnitudes compare like integers; values >= infinity's bits are not finite
#pragma omp simd reduction(max : largest)
    for (std::int64_t i = begin; i < end; ++i)
      largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffu);
    if (largest >= 0x7f800000u) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

double sum_of(const float* values, std::int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]);
  return sum;
}

/// Writes every neuron's gradient: the sum over its weights. False if a gradient is not finite: a double sum of finite
/// floats cannot overflow, so a sum is finite if and only if its terms are.
bool sum_neurons(const float* gradients, const std::vector<LayerRange>& layers, int threads, float* neurons) {
  std::atomic<bool> finite = true;
  const std::int64_t count = layers.back().neuron_begin + layers.back().neurons;
  const auto ends_before = [](const LayerRange& layer, std::int64_t neuron) {
    return layer.neuron_begin + layer.neurons <= neuron;
  };
  parallel_for(threads, count, [&](std::int64_t neuron) {
    const LayerRange& layer = *std::lower_bound(layers.begin(), layers.end(), neuron, ends_before);
    const std::int64_t k = neuron - layer.neuron_begin;
    double sum = sum_of(gradients + layer.weight_offset + k * layer.row_length, layer.row_length);
    if (layer.bias_offset >= 0) sum += static_cast<double>(gradients[layer.bias_offset + k]);
    neurons[neuron] = static_cast<float>(sum);
    if (!std::isfinite(sum)) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

/// Adds gradients of weights or neurons to their sums.
void add_to_sums(const float* gradients, std::int64_t count, int threads, float* signed_sums, float* absolute_sums) {
  parallel_ranges(threads, count, kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      signed_sums[i] += gradients[i];
      absolute_sums[i] += std::fabs(gradients[i]);
    }
  });
}

}  // namespace

void CpuBackend::advance_step(const StepState& state, std::int64_t images) {
  std::int64_t* const counters = state.counters.data<std::int64_t>();
  counters[kStep] += 1;
  counters[kPosition] += images;
}

void CpuBackend::set_learning_rate(const Tensor& rates, const StepState& state) {
  const std::int64_t step = state.counters.data<std::int64_t>()[kStep];
  state.learning_rate.data<float>()[0] = rates.data<float>()[step % rates.count()];
}

bool begin_arena_step(const Arena& arena, const StepState& state, bool accumulate, Granularity granularity,
                      int threads) {
  std::int64_t* const counters = state.counters.data<std::int64_t>();
  if (counters[kFirstBadStep] != 0) return false;
  const bool by_neuron = accumulate && granularity == Granularity::kNeuron;
  const float* const gradients = arena.gradients.data<float>();

  // All gradients are checked before anything is changed. With granularity `neuron` the reduction is the check.
  std::vector<float> neurons(by_neuron ? static_cast<std::size_t>(arena.layers.neurons()) : 0);
  const bool finite = by_neuron ? sum_neurons(gradients, arena.layers.ranges(), threads, neurons.data())
                                : all_finite(gradients, arena.gradients.count(), threads);
  if (!finite) {
    counters[kFirstBadStep] = counters[kStep] + 1;
    return false;
  }
  for (std::size_t n = 0; n < neurons.size(); ++n) {
    arena.signed_sums.data<float>()[n] += neurons[n];
    arena.absolute_sums.data<float>()[n] += std::fabs(neurons[n]);
  }
  return true;
}

void CpuBackend::sgd_step(const Arena& arena, const Tensor& factors, const StepState& state, const SgdParams& params) {
  if (!begin_arena_step(arena, state, params.accumulate, params.granularity, threads_)) return;
  const bool by_weight = params.accumulate && params.granularity == Granularity::kWeight;
  SgdStep step{.weights = arena.weights.data<float>(),
               .gradients = arena.gradients.data<float>(),
               .momentum = arena.momentum.data<float>(),
               .factors = factors.data<float>(),
               .learning_rate = state.learning_rate.data<float>()[0],
               .momentum_factor = params.momentum};
  if (by_weight) {
    step.signed_sums = arena.signed_sums.data<float>();
    step.absolute_sums = arena.absolute_sums.data<float>();
  }
  const auto variant = by_weight ? (params.nesterov ? update<true, true> : update<true, false>)
                                 : (params.nesterov ? update<false, true> : update<false, false>);
  variant(step, arena, params.weight_decay, threads_);
}

void CpuBackend::accumulate_sums(const Arena& arena, Granularity granularity, const StepState& state) {
  if (state.counters.data<std::int64_t>()[kFirstBadStep] != 0) return;
  const float* gradients = arena.gradients.data<float>();
  std::vector<float> neurons;
  if (granularity == Granularity::kNeuron) {
    neurons.resize(static_cast<std::size_t>(arena.layers.neurons()));
    sum_neurons(gradients, arena.layers.ranges(), threads_, neurons.data());
    gradients = neurons.data();
  }
  add_to_sums(gradients, arena.signed_sums.count(), threads_, arena.signed_sums.data<float>(),
              arena.absolute_sums.data<float>());
}

void CpuBackend::measure_layers(const Arena& arena, Granularity granularity, const Tensor& measures) {
  const std::int64_t layers = arena.layers.count();
  const float* const signed_sums = arena.signed_sums.data<float>();
  const float* const absolute_sums = arena.absolute_sums.data<float>();
  double* const values = measures.data<double>();
  parallel_tasks(threads_, layers, [&](std::int64_t l, int) {  // one task per layer, so the order of its sums is fixed
    const LayerRange& layer = arena.layers.ranges()[static_cast<std::size_t>(l)];
    const bool by_weight = granularity == Granularity::kWeight;
    // The sums of the arena's padding are 0 and add nothing.
    const std::int64_t begin = by_weight ? layer.begin : layer.neuron_begin;
    const std::int64_t length = by_weight ? layer.end - layer.begin : layer.neurons;
    const std::int64_t n = by_weight ? layer.count : layer.neurons;
    const LayerSums sums = sum_layer(signed_sums + begin, absolute_sums + begin, length);
    values[kG * layers + l] = sums.g();
    values[kGPrime * layers + l] = sums.g_prime(n);
  });
  normalize_over_layers(values + kG * layers, layers, values + kNormalizedG * layers);
  normalize_over_layers(values + kGPrime * layers, layers, values + kNormalizedGPrime * layers);
}

void CpuBackend::select_layers(const Tensor& measures, const SelectionParams& params, const Tensor& factors) {
  const std::int64_t layers = measures.shape()[1];
  const LayerMeasure row = params.measure == kG ? kNormalizedG : kNormalizedGPrime;
  const double* const normalized = measures.data<double>() + row * layers;
  float* const out = factors.data<float>();
  for (std::int64_t l = 0; l < layers; ++l)
    out[l] = is_selected(normalized[l], params.selection_case, params.threshold) ? params.factor : 1.0f;
}

void CpuBackend::select_random_layers(const Tensor& candidates, const RandomSelectionParams& params,
                                      const Tensor& factors) {
  const int count = static_cast<int>(candidates.count());
  const std::int32_t* const layers = candidates.data<std::int32_t>();
  float* const out = factors.data<float>();
  std::vector<std::int32_t> indices(static_cast<std::size_t>(count));
  draw_indices(indices.data(), count, params.count, params.seed, params.epoch);
  for (int i = 0; i < count; ++i)
    out[layers[indices[static_cast<std::size_t>(i)]]] = i < params.count ? params.factor : 1.0f;
}

}  // namespace gradamp
