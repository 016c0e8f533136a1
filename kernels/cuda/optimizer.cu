// SPDX-License-Identifier: MIT
// The optimizer's step: statistics ([IGA] 3.1-3.5) and SGD in one pass over the flat arena, which reads every gradient
// once. A step with a gradient that is not finite must change nothing, so another kernel checks all gradients first. It
// runs from the arena's end to its beginning: the update first reads what the check read last, from the L2 cache.
#include "gradamp/kernels/cuda/optimizer.h"

#include "gradamp/kernels/cuda/arena_elements.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = kArenaThreads, kBlock = kArenaBlock;

/// All threads of a block must call this. If one of them has found a bad gradient, it marks the step.
__device__ __forceinline__ void mark_bad_step(bool bad, std::int64_t* counters) {
  if (!__syncthreads_or(bad) || threadIdx.x != 0) return;
  const auto step = static_cast<unsigned long long>(counters[kStep] + 1);
  atomicCAS(reinterpret_cast<unsigned long long*>(counters + kFirstBadStep), 0ull, step);
}

__global__ void __launch_bounds__(kThreads)
    find_bad_gradient_kernel(std::int64_t count, const float* gradients, std::int64_t* counters) {
  const std::int64_t block = gridDim.x - 1 - blockIdx.x;
  const std::int64_t i = block * kBlock + std::int64_t{threadIdx.x} * 4;
  unsigned largest = 0;  // magnitudes compare like integers; values >= infinity's bits are not finite
  if (i < count) {
    float g[4];
    load<4>(gradients + i, g);
#pragma unroll
    for (const float value : g) largest = max(largest, __float_as_uint(value) & 0x7fffffffu);
  }
  mark_bad_step(largest >= 0x7f800000u, counters);
}

/// One warp per neuron. Sums are double, so that a sum is finite if and only if its terms are.
__global__ void __launch_bounds__(kThreads)
    neuron_gradients_kernel(ArenaPointers arena, float* neuron_gradients, std::int64_t* counters) {
  const int neuron = static_cast<int>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  double sum = 0;
  if (neuron < arena.neurons) {
    const LayerRange& layer = arena.layers[arena.neuron_layers[neuron]];
    const std::int64_t row = neuron - layer.neuron_begin;
    const float* weights = arena.gradients + layer.weight_offset + row * layer.row_length;
    if (layer.row_length % 4 == 0) {
      for (std::int64_t i = lane * 4; i < layer.row_length; i += 32 * 4) {
        float g[4];
        load<4>(weights + i, g);
        sum += static_cast<double>(g[0]) + g[1] + (static_cast<double>(g[2]) + g[3]);
      }
    } else {
      for (std::int64_t i = lane; i < layer.row_length; i += 32) sum += static_cast<double>(weights[i]);
    }
    if (lane == 0 && layer.bias_offset >= 0) sum += static_cast<double>(arena.gradients[layer.bias_offset + row]);
  }
  sum = warp_sum(sum);
  if (lane == 0 && neuron < arena.neurons) neuron_gradients[neuron] = static_cast<float>(sum);
  mark_bad_step(!isfinite(sum), counters);
}

/// Scalars of a step.
struct SgdNumbers {
  float momentum, weight_decay;
  const float *factors, *learning_rate;
  const float* neuron_gradients;  // or null
  const std::int64_t* counters;
};

/// v = momentum v + (f g + weight_decay w); w -= lr v. Statistics, Nesterov's method and the bf16 copy of the weights
/// are compiled in if the template arguments say so.
template <bool kStatistics, bool kNesterov, bool kCopy>
__global__ void __launch_bounds__(kThreads) sgd_kernel(ArenaPointers arena, SgdNumbers numbers) {
  if (numbers.counters[kFirstBadStep] != 0) return;
  const std::int64_t i = std::int64_t{blockIdx.x} * kBlock + std::int64_t{threadIdx.x} * 4;
  if (i < arena.count) {
    // Only the weights are reused soon, so everything else is streamed.
    float g[4], w[4], v[4], signed_sums[4], absolute_sums[4];
    load<4, Access::kStreaming>(arena.gradients + i, g);
    load<4>(arena.weights + i, w);
    load<4, Access::kStreaming>(arena.momentum + i, v);
    if constexpr (kStatistics) {
      load<4, Access::kStreaming>(arena.signed_sums + i, signed_sums);
      load<4, Access::kStreaming>(arena.absolute_sums + i, absolute_sums);
    }
    const float rate = *numbers.learning_rate;
    const float factor = numbers.factors[arena.chunk_layers[i / kArenaChunk]];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if constexpr (kStatistics) {
        signed_sums[e] += g[e];
        absolute_sums[e] += fabsf(g[e]);
      }
      const float change = factor * g[e] + numbers.weight_decay * w[e];
      v[e] = numbers.momentum * v[e] + change;
      w[e] -= rate * (kNesterov ? change + numbers.momentum * v[e] : v[e]);
    }
    store<4>(arena.weights + i, w);
    store<4, Access::kStreaming>(arena.momentum + i, v);
    if constexpr (kStatistics) {
      store<4, Access::kStreaming>(arena.signed_sums + i, signed_sums);
      store<4, Access::kStreaming>(arena.absolute_sums + i, absolute_sums);
    }
    if constexpr (kCopy) store_vector(arena.weights_bf16 + i, make_uint2(pack_bf16(w[0], w[1]), pack_bf16(w[2], w[3])));
  }
  if (numbers.neuron_gradients) accumulate_neurons(arena, numbers.neuron_gradients);
}

__global__ void set_learning_rate_kernel(const float* rates, std::int64_t count, const std::int64_t* counters,
                                         float* learning_rate) {
  *learning_rate = rates[counters[kStep] % count];
}

/// Adds `count` gradients of weights or neurons to their sums, unless a bad step is marked. Four per thread.
__global__ void __launch_bounds__(kThreads)
    accumulate_kernel(std::int64_t count, const float* gradients, float* signed_sums, float* absolute_sums,
                      const std::int64_t* counters) {
  if (counters[kFirstBadStep] != 0) return;
  const std::int64_t i = std::int64_t{blockIdx.x} * kBlock + std::int64_t{threadIdx.x} * 4;
  if (i + 4 <= count) {
    float g[4], s[4], a[4];
    load<4, Access::kStreaming>(gradients + i, g);
    load<4, Access::kStreaming>(signed_sums + i, s);
    load<4, Access::kStreaming>(absolute_sums + i, a);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      s[e] += g[e];
      a[e] += fabsf(g[e]);
    }
    store<4, Access::kStreaming>(signed_sums + i, s);
    store<4, Access::kStreaming>(absolute_sums + i, a);
    return;
  }
  for (std::int64_t n = i; n < count; ++n) {  // the last neurons
    signed_sums[n] += gradients[n];
    absolute_sums[n] += fabsf(gradients[n]);
  }
}

}  // namespace

void launch_set_learning_rate(cudaStream_t stream, const float* rates, std::int64_t count, const std::int64_t* counters,
                              float* learning_rate) {
  launch(set_learning_rate_kernel, {1, 1, 0, stream}, rates, count, counters, learning_rate);
}

void launch_find_bad_gradient(cudaStream_t stream, const ArenaPointers& arena, std::int64_t* counters) {
  launch(find_bad_gradient_kernel, {arena_blocks(arena.count), kThreads, 0, stream}, arena.count, arena.gradients,
         counters);
}

void launch_neuron_gradients(cudaStream_t stream, const ArenaPointers& arena, float* neuron_gradients,
                             std::int64_t* counters) {
  constexpr int kWarps = kThreads / 32;
  launch(neuron_gradients_kernel, {static_cast<unsigned>((arena.neurons + kWarps - 1) / kWarps), kThreads, 0, stream},
         arena, neuron_gradients, counters);
}

void launch_sgd(cudaStream_t stream, const ArenaPointers& arena, const SgdParams& params, const float* factors,
                const float* learning_rate, const float* neuron_gradients, const std::int64_t* counters) {
  using Kernel = void (*)(ArenaPointers, SgdNumbers);
  constexpr Kernel kVariants[2][2][2] = {{{sgd_kernel<false, false, false>, sgd_kernel<false, false, true>},
                                          {sgd_kernel<false, true, false>, sgd_kernel<false, true, true>}},
                                         {{sgd_kernel<true, false, false>, sgd_kernel<true, false, true>},
                                          {sgd_kernel<true, true, false>, sgd_kernel<true, true, true>}}};
  const bool by_weight = params.accumulate && params.granularity == Granularity::kWeight;
  const Kernel kernel = kVariants[by_weight][params.nesterov][arena.weights_bf16 != nullptr];
  launch(kernel, {arena_blocks(arena.count), kThreads, 0, stream}, arena,
         SgdNumbers{params.momentum, params.weight_decay, factors, learning_rate, neuron_gradients, counters});
}

void launch_accumulate(cudaStream_t stream, const ArenaPointers& arena, const float* neuron_gradients,
                       const std::int64_t* counters) {
  const std::int64_t count = neuron_gradients ? arena.neurons : arena.count;
  launch(accumulate_kernel, {arena_blocks(count), kThreads, 0, stream}, count,
         neuron_gradients ? neuron_gradients : arena.gradients, arena.signed_sums, arena.absolute_sums, counters);
}

}  // namespace gradamp::GRADAMP_GPU
