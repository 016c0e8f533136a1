// SPDX-License-Identifier: MIT
// The optimizer's steps beside sgd_kernel: AdamW, and SGD that decays only some of the weights. As there, statistics
// and update are one pass over the arena.
#include <cmath>

#include "gradamp/kernels/cuda/arena_elements.h"
#include "gradamp/kernels/cuda/optimizer.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// base^exponent, by squaring: a few products, where pow() is a function call of hundreds of instructions.
__device__ double power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 != 0) result *= base;
    base *= base;
  }
  return result;
}

/// Adam's bias corrections of a step, which is counted from 1.
enum Correction : int {
  kInverseFirst,       // 1 / (1 - beta1^step)
  kInverseSqrtSecond,  // 1 / sqrt(1 - beta2^step)
  kCorrectionCount,
};

__global__ void bias_corrections_kernel(double beta1, double beta2, const std::int64_t* counters, float* corrections) {
  const std::int64_t step = counters[kStep] + 1;
  corrections[kInverseFirst] = static_cast<float>(1 / (1 - power(beta1, step)));
  corrections[kInverseSqrtSecond] = static_cast<float>(1 / sqrt(1 - power(beta2, step)));
}

/// What a step reads beside the arena.
struct StepInputs {
  const float *factors, *learning_rate;
  const float* decay_scales;      // or null: all weights decay
  const float* neuron_gradients;  // or null
  const std::int64_t* counters;
};

/// A thread's four elements of the arrays that every step reads.
template <bool kStatistics>
struct Elements {
  float g[4], w[4], signed_sums[4], absolute_sums[4];

  __device__ __forceinline__ void load_from(const ArenaPointers& arena, std::int64_t i) {
    // Only the weights are reused soon, so everything else is streamed.
    load<4, Access::kStreaming>(arena.gradients + i, g);
    load<4>(arena.weights + i, w);
    if constexpr (kStatistics) {
      load<4, Access::kStreaming>(arena.signed_sums + i, signed_sums);
      load<4, Access::kStreaming>(arena.absolute_sums + i, absolute_sums);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        signed_sums[e] += g[e];
        absolute_sums[e] += fabsf(g[e]);
      }
    }
  }
  template <bool kCopy>
  __device__ __forceinline__ void store_to(const ArenaPointers& arena, std::int64_t i) const {
    store<4>(arena.weights + i, w);
    if constexpr (kStatistics) {
      store<4, Access::kStreaming>(arena.signed_sums + i, signed_sums);
      store<4, Access::kStreaming>(arena.absolute_sums + i, absolute_sums);
    }
    if constexpr (kCopy) store_vector(arena.weights_bf16 + i, make_uint2(pack_bf16(w[0], w[1]), pack_bf16(w[2], w[3])));
  }
};

__device__ __forceinline__ std::int64_t first_element() {
  return std::int64_t{blockIdx.x} * kArenaBlock + std::int64_t{threadIdx.x} * 4;
}

/// The weight decay of the four elements from i on.
__device__ __forceinline__ float decay_at(const StepInputs& inputs, float weight_decay, std::int64_t i) {
  return inputs.decay_scales == nullptr ? weight_decay : weight_decay * inputs.decay_scales[i / kDecayGroup];
}

struct AdamWNumbers {
  float beta1, beta2, rest1, rest2;  // rest: 1 - beta
  float epsilon, weight_decay;
  float* second_moments;
  const float* corrections;
  const float* gradient_scale;  // or null: 1
};

/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= lr (f m^ / (sqrt(v^) + epsilon) + weight_decay w).
template <bool kStatistics, bool kCopy>
__global__ void __launch_bounds__(kArenaThreads)
    adamw_kernel(ArenaPointers arena, StepInputs inputs, AdamWNumbers numbers) {
  if (inputs.counters[kFirstBadStep] != 0) return;
  const std::int64_t i = first_element();
  if (i < arena.count) {
    Elements<kStatistics> elements;
    float m[4], v[4];
    elements.load_from(arena, i);
    load<4, Access::kStreaming>(arena.momentum + i, m);
    load<4, Access::kStreaming>(numbers.second_moments + i, v);
    const float rate = *inputs.learning_rate, decay = decay_at(inputs, numbers.weight_decay, i);
    const float factor = inputs.factors[arena.chunk_layers[i / kArenaChunk]] * numbers.corrections[kInverseFirst];
    const float root = numbers.corrections[kInverseSqrtSecond];
    const float scale = numbers.gradient_scale == nullptr ? 1.0f : *numbers.gradient_scale;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float g = scale * elements.g[e];
      m[e] = numbers.beta1 * m[e] + numbers.rest1 * g;
      v[e] = numbers.beta2 * v[e] + numbers.rest2 * g * g;
      const float change = factor * m[e] / (root * sqrtf(v[e]) + numbers.epsilon);
      elements.w[e] -= rate * (change + decay * elements.w[e]);
    }
    store<4, Access::kStreaming>(arena.momentum + i, m);
    store<4, Access::kStreaming>(numbers.second_moments + i, v);
    elements.template store_to<kCopy>(arena, i);
  }
  if (inputs.neuron_gradients) accumulate_neurons(arena, inputs.neuron_gradients);
}

/// sgd_kernel with the weight decay of some weights only.
template <bool kStatistics, bool kCopy>
__global__ void __launch_bounds__(kArenaThreads)
    sgd_some_decay_kernel(ArenaPointers arena, StepInputs inputs, float momentum, float weight_decay, bool nesterov) {
  if (inputs.counters[kFirstBadStep] != 0) return;
  const std::int64_t i = first_element();
  if (i < arena.count) {
    Elements<kStatistics> elements;
    float v[4];
    elements.load_from(arena, i);
    load<4, Access::kStreaming>(arena.momentum + i, v);
    const float rate = *inputs.learning_rate, decay = decay_at(inputs, weight_decay, i);
    const float factor = inputs.factors[arena.chunk_layers[i / kArenaChunk]];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float change = factor * elements.g[e] + decay * elements.w[e];
      v[e] = momentum * v[e] + change;
      elements.w[e] -= rate * (nesterov ? change + momentum * v[e] : v[e]);
    }
    store<4, Access::kStreaming>(arena.momentum + i, v);
    elements.template store_to<kCopy>(arena, i);
  }
  if (inputs.neuron_gradients) accumulate_neurons(arena, inputs.neuron_gradients);
}

}  // namespace

std::size_t adamw_workspace() { return kCorrectionCount; }

void launch_adamw(cudaStream_t stream, const ArenaPointers& arena, const AdamWParams& params,
                  const AdamWPointers& pointers, float* workspace) {
  launch(bias_corrections_kernel, {1, 1, 0, stream}, params.beta1, params.beta2, pointers.counters, workspace);
  using Kernel = void (*)(ArenaPointers, StepInputs, AdamWNumbers);
  constexpr Kernel kVariants[2][2] = {{adamw_kernel<false, false>, adamw_kernel<false, true>},
                                      {adamw_kernel<true, false>, adamw_kernel<true, true>}};
  const bool by_weight = params.accumulate && params.granularity == Granularity::kWeight;
  launch(kVariants[by_weight][arena.weights_bf16 != nullptr], {arena_blocks(arena.count), kArenaThreads, 0, stream},
         arena,
         StepInputs{pointers.factors, pointers.learning_rate, pointers.decay_scales, pointers.neuron_gradients,
                    pointers.counters},
         AdamWNumbers{static_cast<float>(params.beta1), static_cast<float>(params.beta2),
                      static_cast<float>(1 - params.beta1), static_cast<float>(1 - params.beta2), params.epsilon,
                      params.weight_decay, pointers.second_moments, workspace, pointers.gradient_scale});
}

void launch_sgd_some_decay(cudaStream_t stream, const ArenaPointers& arena, const SgdParams& params,
                           const float* factors, const float* learning_rate, const float* decay_scales,
                           const float* neuron_gradients, const std::int64_t* counters) {
  using Kernel = void (*)(ArenaPointers, StepInputs, float, float, bool);
  constexpr Kernel kVariants[2][2] = {{sgd_some_decay_kernel<false, false>, sgd_some_decay_kernel<false, true>},
                                      {sgd_some_decay_kernel<true, false>, sgd_some_decay_kernel<true, true>}};
  const bool by_weight = params.accumulate && params.granularity == Granularity::kWeight;
  launch(kVariants[by_weight][arena.weights_bf16 != nullptr], {arena_blocks(arena.count), kArenaThreads, 0, stream},
         arena, StepInputs{factors, learning_rate, decay_scales, neuron_gradients, counters}, params.momentum,
         params.weight_decay, params.nesterov);
}

}  // namespace gradamp::GRADAMP_GPU
