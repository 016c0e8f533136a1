// SPDX-License-Identifier: MIT
// Softmax: one warp per row, sums in f32. A row is read several times; only the first read comes from memory, the
// others come from a cache.
#include "gradamp/kernels/cuda/softmax.h"

#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;
constexpr int kBlockRows = kThreads / 32;

/// The row of this thread's warp.
__device__ __forceinline__ std::int64_t warp_row() { return std::int64_t{blockIdx.x} * kBlockRows + threadIdx.x / 32; }

/// Returns the maximum over the warp to every lane. NaNs are ignored.
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

/// A NaN or infinity in the row makes the whole row NaN, with one exception: -infinity beside finite numbers gives 0.
template <typename T>
__global__ void __launch_bounds__(kThreads) softmax_kernel(std::int64_t rows, int channels, const T* x, T* y) {
  const std::int64_t row = warp_row();
  if (row >= rows) return;  // the whole warp
  const int lane = static_cast<int>(threadIdx.x) % 32;
  x += row * channels;
  y += row * channels;
  float largest = -INFINITY;
  for (int c = lane; c < channels; c += 32) largest = fmaxf(largest, to_float(x[c]));
  largest = warp_max(largest);
  float total = 0;
  for (int c = lane; c < channels; c += 32) total += std::exp(to_float(x[c]) - largest);
  total = warp_sum(total);
  for (int c = lane; c < channels; c += 32) y[c] = from_float<T>(std::exp(to_float(x[c]) - largest) / total);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    softmax_backward_kernel(std::int64_t rows, int channels, const T* grad_y, const T* y, T* grad_x) {
  const std::int64_t row = warp_row();
  if (row >= rows) return;  // the whole warp
  const int lane = static_cast<int>(threadIdx.x) % 32;
  grad_y += row * channels;
  y += row * channels;
  grad_x += row * channels;
  float product = 0;
  for (int c = lane; c < channels; c += 32) product += to_float(grad_y[c]) * to_float(y[c]);
  product = warp_sum(product);
  for (int c = lane; c < channels; c += 32) grad_x[c] = from_float<T>(to_float(y[c]) * (to_float(grad_y[c]) - product));
}

Launch row_launch(std::int64_t rows, cudaStream_t stream) {
  return {static_cast<unsigned>((rows + kBlockRows - 1) / kBlockRows), kThreads, 0, stream};
}

}  // namespace

void launch_softmax(cudaStream_t stream, DType type, std::int64_t rows, int channels, const void* x, void* y) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch(softmax_kernel<T>, row_launch(rows, stream), rows, channels, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

void launch_softmax_backward(cudaStream_t stream, DType type, std::int64_t rows, int channels, const void* grad_y,
                             const void* y, void* grad_x) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch(softmax_backward_kernel<T>, row_launch(rows, stream), rows, channels, static_cast<const T*>(grad_y),
           static_cast<const T*>(y), static_cast<T*>(grad_x));
  });
}

}  // namespace gradamp::GRADAMP_GPU
