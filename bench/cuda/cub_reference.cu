// SPDX-License-Identifier: MIT
// The only file that includes CUB, and the only .cu file that the emulator does not compile. It includes none of our
// kernels' headers.
#include "gradamp/bench/cuda/cub_reference.h"

#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_segmented_reduce.cuh>
#include <cub/version.cuh>

namespace gradamp::cuda {
namespace {

using Index = thrust::counting_iterator<std::int64_t>;

struct Absolute {
  __host__ __device__ float operator()(float value) const { return fabsf(value); }
};

struct Begin {
  const LayerRange* layers;
  __host__ __device__ std::int64_t operator()(std::int64_t layer) const { return layers[layer].begin; }
};
struct End {
  const LayerRange* layers;
  __host__ __device__ std::int64_t operator()(std::int64_t layer) const { return layers[layer].end; }
};

/// The layout of the result in memory.
struct Sums {
  double s, a, ratio;
};
struct SumsOf {
  const float *signed_sums, *absolute_sums;
  __host__ __device__ Sums operator()(std::int64_t i) const {
    const double s = fabs(static_cast<double>(signed_sums[i])), a = static_cast<double>(absolute_sums[i]);
    return {s, a, a > 0 ? s / a : 0.0};
  }
};

struct Plus {
  __host__ __device__ float operator()(float a, float b) const { return a + b; }
  __host__ __device__ Sums operator()(const Sums& a, const Sums& b) const {
    return {a.s + b.s, a.a + b.a, a.ratio + b.ratio};
  }
};

}  // namespace

int cub_version() { return CUB_VERSION; }

cudaError_t cub_layer_absolute(void* workspace, std::size_t& bytes, const float* values, const LayerRange* layers,
                               int layer_count, float* sums, cudaStream_t stream) {
  return cub::DeviceSegmentedReduce::Reduce(workspace, bytes, thrust::make_transform_iterator(values, Absolute{}), sums,
                                            layer_count, thrust::make_transform_iterator(Index(0), Begin{layers}),
                                            thrust::make_transform_iterator(Index(0), End{layers}), Plus{}, 0.0f,
                                            stream);
}

cudaError_t cub_whole_absolute(void* workspace, std::size_t& bytes, const float* values, std::int64_t count, float* sum,
                               cudaStream_t stream) {
  return cub::DeviceReduce::Reduce(workspace, bytes, thrust::make_transform_iterator(values, Absolute{}), sum, count,
                                   Plus{}, 0.0f, stream);
}

cudaError_t cub_layer_sums(void* workspace, std::size_t& bytes, const float* signed_sums, const float* absolute_sums,
                           const LayerRange* layers, int layer_count, double* sums, cudaStream_t stream) {
  return cub::DeviceSegmentedReduce::Reduce(
      workspace, bytes, thrust::make_transform_iterator(Index(0), SumsOf{signed_sums, absolute_sums}),
      reinterpret_cast<Sums*>(sums), layer_count, thrust::make_transform_iterator(Index(0), Begin{layers}),
      thrust::make_transform_iterator(Index(0), End{layers}), Plus{}, Sums{0, 0, 0}, stream);
}

}  // namespace gradamp::cuda
