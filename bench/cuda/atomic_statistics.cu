// SPDX-License-Identifier: MIT
// Sums of layers and of neurons by atomic additions. The arena is cut into equal parts, independent of the sizes of
// layers, and each part adds its contribution to its layer's or neuron's sum. The order of these additions, and so the
// last bits of the sums, differ from run to run.
#include "gradamp/bench/cuda/atomic_statistics.h"

#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;
static_assert(kThreads == kArenaChunk, "a block reads one chunk at a time");
/// Several per multiprocessor, but few enough that their additions do not queue.
constexpr std::int64_t kMaxBlocks = 1024;
/// Elements per block of the neuron kernel, four per thread.
constexpr int kBlock = kThreads * 4;

/// A block sums a range of whole chunks, with one addition per layer that the range touches. totals (layers, 3).
__global__ void __launch_bounds__(kThreads) atomic_layer_sums_kernel(ArenaPointers arena, double* totals) {
  const std::int64_t chunks = arena.count / kArenaChunk, part = (chunks + gridDim.x - 1) / gridDim.x;
  std::int64_t chunk = blockIdx.x * part;
  const std::int64_t last = min(chunk + part, chunks);
  while (chunk < last) {
    const std::int32_t layer = arena.chunk_layers[chunk];
    double sums[3] = {};
    for (; chunk < last && arena.chunk_layers[chunk] == layer; ++chunk) {
      const std::int64_t i = chunk * kArenaChunk + threadIdx.x;
      const double s = fabs(static_cast<double>(arena.signed_sums[i]));
      const auto a = static_cast<double>(arena.absolute_sums[i]);
      sums[0] += s;
      sums[1] += a;
      sums[2] += a > 0 ? s / a : 0.0;
    }
    block_sum<kThreads>(sums);
    if (threadIdx.x == 0) {
      for (int kind = 0; kind < 3; ++kind) atomicAdd(totals + layer * 3 + kind, sums[kind]);
    }
  }
}

/// The neuron of element i of the arena; -1 for padding.
__device__ __forceinline__ int neuron_of(const LayerRange& layer, std::int64_t i) {
  const std::int64_t from_weight = i - layer.weight_offset, from_bias = i - layer.bias_offset;
  if (from_weight < layer.neurons * layer.row_length) {
    // A layer has fewer than 2^32 elements, and a 64-bit division takes several times as long.
    const auto row = static_cast<unsigned>(from_weight) / static_cast<unsigned>(layer.row_length);
    return static_cast<int>(layer.neuron_begin) + static_cast<int>(row);
  }
  const bool is_bias = layer.bias_offset >= 0 && from_bias >= 0 && from_bias < layer.neurons;
  return is_bias ? static_cast<int>(layer.neuron_begin + from_bias) : -1;
}

/// A warp sums 128 elements, all of one layer. If they are of one neuron, the warp adds their sum; else each thread
/// adds its own elements of each neuron.
__global__ void __launch_bounds__(kThreads)
    atomic_neuron_gradients_kernel(ArenaPointers arena, float* neuron_gradients, std::int64_t* counters) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kBlock + std::int64_t{threadIdx.x} * 4;
  bool bad = false;
  float g[4] = {};
  int neurons[4] = {-1, -1, -1, -1};
  if (i < arena.count) {
    load<4>(arena.gradients + i, g);
    const LayerRange& layer = arena.layers[arena.chunk_layers[i / kArenaChunk]];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      neurons[e] = neuron_of(layer, i + e);
      bad = bad || !isfinite(g[e]);
    }
  }
  const int first = __shfl_sync(kAllLanes, neurons[0], 0);
  // Neurons are in order within the weights and within the biases, so equal ends imply that all between are equal.
  if (__all_sync(kAllLanes, neurons[0] == first && neurons[3] == first)) {
    const float sum = warp_sum((g[0] + g[1]) + (g[2] + g[3]));
    if (threadIdx.x % 32 == 0 && first >= 0) atomicAdd(neuron_gradients + first, sum);
  } else {
    float sum = 0;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      sum += g[e];
      const bool is_end = e == 3 || neurons[e + 1] != neurons[e];
      if (is_end && neurons[e] >= 0) atomicAdd(neuron_gradients + neurons[e], sum);
      if (is_end) sum = 0;
    }
  }
  if (__syncthreads_or(bad) && threadIdx.x == 0) {
    const auto step = static_cast<unsigned long long>(counters[kStep] + 1);
    atomicCAS(reinterpret_cast<unsigned long long*>(counters + kFirstBadStep), 0ull, step);
  }
}

}  // namespace

void launch_atomic_layer_sums(cudaStream_t stream, const ArenaPointers& arena, double* totals) {
  const std::int64_t chunks = arena.count / kArenaChunk;
  const auto blocks = static_cast<unsigned>(chunks < kMaxBlocks ? chunks : kMaxBlocks);
  launch(atomic_layer_sums_kernel, {blocks, kThreads, 0, stream}, arena, totals);
}

void launch_atomic_neuron_gradients(cudaStream_t stream, const ArenaPointers& arena, float* neuron_gradients,
                                    std::int64_t* counters) {
  const auto blocks = static_cast<unsigned>((arena.count + kBlock - 1) / kBlock);
  launch(atomic_neuron_gradients_kernel, {blocks, kThreads, 0, stream}, arena, neuron_gradients, counters);
}

}  // namespace gradamp::GRADAMP_GPU
