// SPDX-License-Identifier: MIT
// Computes G and G' of every layer from the sums, their normalized values, and the factors ([IGA] 3.3-3.6), in two
// stages, in a fixed order and in double. Also draws factors at random ([GA]).
#include <algorithm>

#include "gradamp/core/random_selection.h"
#include "gradamp/kernels/cuda/optimizer.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;
/// Blocks per layer in the first stage.
constexpr int kParts = 32;
/// The sums of |S|, A and |S| / A.
constexpr int kKinds = 3;

/// Block (part, layer): reduces one part of a layer's sums. partial (layers, kParts, kKinds).
__global__ void __launch_bounds__(kThreads)
    layer_sums_kernel(ArenaPointers arena, Granularity granularity, double* partial) {
  const LayerRange& layer = arena.layers[blockIdx.y];
  const bool by_weight = granularity == Granularity::kWeight;
  // The sums of the arena's padding are 0 and add nothing.
  const std::int64_t begin = by_weight ? layer.begin : layer.neuron_begin;
  const std::int64_t length = by_weight ? layer.end - layer.begin : layer.neurons;
  const std::int64_t part_length = (length + kParts - 1) / kParts;
  const std::int64_t first = begin + blockIdx.x * part_length, last = min(first + part_length, begin + length);
  double sums[kKinds] = {};
  for (std::int64_t i = first + threadIdx.x; i < last; i += kThreads) {
    const double s = fabs(static_cast<double>(arena.signed_sums[i]));
    const auto a = static_cast<double>(arena.absolute_sums[i]);
    sums[0] += s;
    sums[1] += a;
    sums[2] += a > 0 ? s / a : 0.0;
  }
  block_sum<kThreads>(sums);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int kind = 0; kind < kKinds; ++kind) partial[(blockIdx.y * kParts + blockIdx.x) * kKinds + kind] = sums[kind];
}

/// (value - mean) / population standard deviation, or 0 if all values are equal. Rounding alone can leave a std of
/// about 1e-16 of the values, which must not become a score of 1. Real differences between float32 sums give a std
/// above 1e-12.
__device__ void normalize(const double* values, int count, double* normalized) {
  double sums[1] = {}, squares[1] = {};
  double largest = 0;
  for (int l = static_cast<int>(threadIdx.x); l < count; l += kThreads) sums[0] += values[l];
  for (int l = 0; l < count; ++l) largest = fmax(largest, fabs(values[l]));
  block_sum<kThreads>(sums);
  const double mean = sums[0] / count;
  for (int l = static_cast<int>(threadIdx.x); l < count; l += kThreads)
    squares[0] += (values[l] - mean) * (values[l] - mean);
  block_sum<kThreads>(squares);
  const double deviation = sqrt(squares[0] / count);
  const bool equal = deviation <= 1e-12 * largest;
  for (int l = static_cast<int>(threadIdx.x); l < count; l += kThreads)
    normalized[l] = equal ? 0.0 : (values[l] - mean) / deviation;
}

/// One block: combines the parts in order and normalizes the values over the layers.
__global__ void __launch_bounds__(kThreads)
    measures_kernel(ArenaPointers arena, Granularity granularity, const double* partial, double* measures) {
  const int layers = arena.layer_count;
  for (int l = static_cast<int>(threadIdx.x); l < layers; l += kThreads) {
    double sums[kKinds] = {};
    for (int part = 0; part < kParts; ++part)
      for (int kind = 0; kind < kKinds; ++kind) sums[kind] += partial[(l * kParts + part) * kKinds + kind];
    const LayerRange& layer = arena.layers[l];
    const std::int64_t n = granularity == Granularity::kWeight ? layer.count : layer.neurons;
    measures[kG * layers + l] = sums[1] > 0 ? sums[0] / sums[1] : 0.0;
    measures[kGPrime * layers + l] = sums[2] / static_cast<double>(n);
  }
  __syncthreads();
  normalize(measures + kG * layers, layers, measures + kNormalizedG * layers);
  normalize(measures + kGPrime * layers, layers, measures + kNormalizedGPrime * layers);
}

__global__ void __launch_bounds__(kThreads)
    select_kernel(int layers, SelectionParams params, const double* measures, float* factors) {
  const int row = params.measure == kG ? kNormalizedG : kNormalizedGPrime;
  for (int l = static_cast<int>(threadIdx.x); l < layers; l += kThreads) {
    const double value = measures[row * layers + l];
    const double score = params.selection_case == SelectionCase::kTwoSided ? fabs(value) : value;
    factors[l] = score > params.threshold ? params.factor : 1.0f;
  }
}

/// One block. The draw is a sequence of dependent swaps, so one thread does it.
__global__ void __launch_bounds__(kThreads)
    select_random_kernel(int count, const std::int32_t* candidates, RandomSelectionParams params, std::int32_t* indices,
                         float* factors) {
  if (threadIdx.x == 0) draw_indices(indices, count, params.count, params.seed, params.epoch);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads)
    factors[candidates[indices[i]]] = i < params.count ? params.factor : 1.0f;
}

}  // namespace

std::size_t measures_workspace(int layers) { return static_cast<std::size_t>(layers) * kParts * kKinds; }

void launch_measures(cudaStream_t stream, const ArenaPointers& arena, Granularity granularity, double* measures,
                     double* workspace) {
  launch(layer_sums_kernel, {dim3(kParts, static_cast<unsigned>(arena.layer_count)), kThreads, 0, stream}, arena,
         granularity, workspace);
  launch(measures_kernel, {1, kThreads, 0, stream}, arena, granularity, workspace, measures);
}

void launch_select(cudaStream_t stream, int layers, const SelectionParams& params, const double* measures,
                   float* factors) {
  launch(select_kernel, {1, kThreads, 0, stream}, layers, params, measures, factors);
}

void launch_select_random(cudaStream_t stream, int count, const std::int32_t* candidates,
                          const RandomSelectionParams& params, std::int32_t* indices, float* factors) {
  launch(select_random_kernel, {1, kThreads, 0, stream}, count, candidates, params, indices, factors);
}

}  // namespace gradamp::GRADAMP_GPU
