// SPDX-License-Identifier: MIT
// Pooling. A thread owns N adjacent channels (16 bytes) of one pixel. The backward kernels gather: the thread of a
// pixel of x reads every window that covers the pixel, in order, so no two threads add to one element.
#include "gradamp/kernels/cuda/pooling.h"

#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/divisor.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;

/// Maps threads to a tensor (N, height, width, C) of vectors of N channels.
struct PixelGrid {
  int threads;
  int channels;
  Divisor by_vectors, by_width, by_height;

  PixelGrid(int batch, int height, int width, int channel_count, int vector)
      : threads(batch * height * width * (channel_count / vector)),
        channels(channel_count),
        by_vectors(channel_count / vector),
        by_width(width),
        by_height(height) {}

  struct Index {
    int n, h, w, channel;
    std::int64_t offset;  // of the thread's first element
    bool exists;
  };
  template <int N>
  __device__ Index index() const {
    const int thread = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
    if (thread >= threads) return {0, 0, 0, 0, 0, false};
    const auto [pixel, vector] = by_vectors.divide(thread);
    const auto [row, w] = by_width.divide(pixel);
    const auto [n, h] = by_height.divide(row);
    return {n, h, w, vector * N, std::int64_t{pixel} * channels + vector * N, true};
  }
  Launch shape(cudaStream_t stream) const {
    return {static_cast<unsigned>((threads + kThreads - 1) / kThreads), kThreads, 0, stream};
  }
};

/// One dimension (height or width) of the part of a window that is inside the image.
struct Range {
  int begin, end;
};
__device__ __forceinline__ Range window_range(int index, const Pool2dParams& params, int extent) {
  const int begin = index * params.stride - params.padding;
  return {max(begin, 0), min(begin + params.kernel, extent)};
}
/// One dimension of the windows that cover a pixel.
__device__ __forceinline__ Range covering_range(int pixel, const Pool2dParams& params, int windows) {
  const int last = (pixel + params.padding) / params.stride;
  const int before = pixel + params.padding - params.kernel;  // windows that begin here or earlier end before the pixel
  return {before < 0 ? 0 : before / params.stride + 1, min(last + 1, windows)};
}

template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    max_pool_kernel(PixelGrid grid, PoolShape shape, Pool2dParams params, const T* x, T* y, std::int32_t* argmax) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  const Range rows = window_range(at.h, params, shape.height), columns = window_range(at.w, params, shape.width);
  float best[N] = {};
  std::int32_t indices[N] = {};
  for (int h = rows.begin; h < rows.end; ++h) {
    for (int w = columns.begin; w < columns.end; ++w) {
      const bool first = h == rows.begin && w == columns.begin;
      const std::int32_t index = h * shape.width + w;
      float values[N];
      load<N>(x + (std::int64_t{at.n} * shape.height * shape.width + index) * shape.channels + at.channel, values);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        // A NaN wins. The first value of a window always wins over the initial 0.
        const bool better = first || values[i] > best[i] || values[i] != values[i];
        best[i] = better ? values[i] : best[i];
        indices[i] = better ? index : indices[i];
      }
    }
  }
  store<N>(y + at.offset, best);
#pragma unroll
  for (int i = 0; i < N; ++i) argmax[at.offset + i] = indices[i];
}

template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    max_pool_backward_kernel(PixelGrid grid, PoolShape shape, Pool2dParams params, const T* grad_y,
                             const std::int32_t* argmax, T* grad_x) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  const Range rows = covering_range(at.h, params, shape.out_height);
  const Range columns = covering_range(at.w, params, shape.out_width);
  const std::int32_t own = at.h * shape.width + at.w;
  float sums[N] = {};
  for (int p = rows.begin; p < rows.end; ++p) {
    for (int q = columns.begin; q < columns.end; ++q) {
      const std::int64_t window =
          ((std::int64_t{at.n} * shape.out_height + p) * shape.out_width + q) * shape.channels + at.channel;
      float grads[N];
      load<N>(grad_y + window, grads);
#pragma unroll
      for (int i = 0; i < N; ++i) sums[i] += argmax[window + i] == own ? grads[i] : 0.0f;
    }
  }
  store<N>(grad_x + at.offset, sums);
}

/// Adds N values of each pixel in rows x columns of image n to sums.
template <int N, typename T>
__device__ __forceinline__ void add_pixels(const T* image, int width, int channels, const Range& rows,
                                           const Range& columns, float (&sums)[N]) {
  for (int h = rows.begin; h < rows.end; ++h) {
#pragma unroll 2
    for (int w = columns.begin; w < columns.end; ++w) {
      float values[N];
      load<N>(image + (std::int64_t{h} * width + w) * channels, values);
#pragma unroll
      for (int i = 0; i < N; ++i) sums[i] += values[i];
    }
  }
}

template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    avg_pool_kernel(PixelGrid grid, PoolShape shape, Pool2dParams params, const T* x, T* y) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  float sums[N] = {};
  const T* image = x + std::int64_t{at.n} * shape.height * shape.width * shape.channels + at.channel;
  add_pixels<N>(image, shape.width, shape.channels, window_range(at.h, params, shape.height),
                window_range(at.w, params, shape.width), sums);
  const float share = 1.0f / static_cast<float>(params.kernel * params.kernel);
#pragma unroll
  for (float& sum : sums) sum *= share;
  store<N>(y + at.offset, sums);
}

template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    avg_pool_backward_kernel(PixelGrid grid, PoolShape shape, Pool2dParams params, const T* grad_y, T* grad_x) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  float sums[N] = {};
  const T* image = grad_y + std::int64_t{at.n} * shape.out_height * shape.out_width * shape.channels + at.channel;
  add_pixels<N>(image, shape.out_width, shape.channels, covering_range(at.h, params, shape.out_height),
                covering_range(at.w, params, shape.out_width), sums);
  const float share = 1.0f / static_cast<float>(params.kernel * params.kernel);
#pragma unroll
  for (float& sum : sums) sum *= share;
  store<N>(grad_x + at.offset, sums);
}

/// `grid` is over y (N, 1, 1, C).
template <int N, typename T>
__global__ void __launch_bounds__(kThreads) global_avg_pool_kernel(PixelGrid grid, int pixels, const T* x, T* y) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  float sums[N] = {};
  add_pixels<N>(x + std::int64_t{at.n} * pixels * grid.channels + at.channel, pixels, grid.channels, {0, 1},
                {0, pixels}, sums);
  const float share = 1.0f / static_cast<float>(pixels);
#pragma unroll
  for (float& sum : sums) sum *= share;
  store<N>(y + at.offset, sums);
}

/// `grid` is over grad_x (N, 1, pixels, C).
template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    global_avg_pool_backward_kernel(PixelGrid grid, int pixels, const T* grad_y, T* grad_x) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  float values[N];
  load<N>(grad_y + std::int64_t{at.n} * grid.channels + at.channel, values);
  const float share = 1.0f / static_cast<float>(pixels);
#pragma unroll
  for (float& value : values) value *= share;
  store<N>(grad_x + at.offset, values);
}

/// `grid` is over y; N divides the channels of x and the padding.
template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    shortcut_kernel(PixelGrid grid, PoolShape shape, int pad, const T* x, T* y) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  float values[N] = {};
  const int channel = at.channel - pad;
  if (channel >= 0 && channel < shape.channels) {
    const std::int64_t pixel = (std::int64_t{at.n} * shape.height + 2 * at.h) * shape.width + 2 * at.w;
    load<N>(x + pixel * shape.channels + channel, values);
  }
  store<N>(y + at.offset, values);
}

/// `grid` is over grad_x.
template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    shortcut_backward_kernel(PixelGrid grid, PoolShape shape, int pad, const T* grad_y, T* grad_x) {
  const auto at = grid.index<N>();
  if (!at.exists) return;
  float values[N] = {};
  if (at.h % 2 == 0 && at.w % 2 == 0) {
    const std::int64_t pixel = (std::int64_t{at.n} * shape.out_height + at.h / 2) * shape.out_width + at.w / 2;
    load<N>(grad_y + pixel * (shape.channels + 2 * pad) + pad + at.channel, values);
  }
  store<N>(grad_x + at.offset, values);
}

PixelGrid grid_of_x(const PoolShape& shape, int vector) {
  return {shape.batch, shape.height, shape.width, shape.channels, vector};
}
PixelGrid grid_of_y(const PoolShape& shape, int vector) {
  return {shape.batch, shape.out_height, shape.out_width, shape.channels, vector};
}

}  // namespace

void launch_max_pool(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params, const void* x,
                     void* y, std::int32_t* argmax) {
  with_vectors(type, shape.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid = grid_of_y(shape, N);
    launch(max_pool_kernel<N, T>, grid.shape(stream), grid, shape, params, static_cast<const T*>(x), static_cast<T*>(y),
           argmax);
  });
}

void launch_max_pool_backward(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params,
                              const void* grad_y, const std::int32_t* argmax, void* grad_x) {
  with_vectors(type, shape.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid = grid_of_x(shape, N);
    launch(max_pool_backward_kernel<N, T>, grid.shape(stream), grid, shape, params, static_cast<const T*>(grad_y),
           argmax, static_cast<T*>(grad_x));
  });
}

void launch_avg_pool(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params, const void* x,
                     void* y) {
  with_vectors(type, shape.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid = grid_of_y(shape, N);
    launch(avg_pool_kernel<N, T>, grid.shape(stream), grid, shape, params, static_cast<const T*>(x),
           static_cast<T*>(y));
  });
}

void launch_avg_pool_backward(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params,
                              const void* grad_y, void* grad_x) {
  with_vectors(type, shape.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid = grid_of_x(shape, N);
    launch(avg_pool_backward_kernel<N, T>, grid.shape(stream), grid, shape, params, static_cast<const T*>(grad_y),
           static_cast<T*>(grad_x));
  });
}

void launch_global_avg_pool(cudaStream_t stream, DType type, int batch, int pixels, int channels, const void* x,
                            void* y) {
  with_vectors(type, channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid(batch, 1, 1, channels, N);
    launch(global_avg_pool_kernel<N, T>, grid.shape(stream), grid, pixels, static_cast<const T*>(x),
           static_cast<T*>(y));
  });
}

void launch_global_avg_pool_backward(cudaStream_t stream, DType type, int batch, int pixels, int channels,
                                     const void* grad_y, void* grad_x) {
  with_vectors(type, channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid(batch, 1, pixels, channels, N);
    launch(global_avg_pool_backward_kernel<N, T>, grid.shape(stream), grid, pixels, static_cast<const T*>(grad_y),
           static_cast<T*>(grad_x));
  });
}

namespace {

/// The number of channels for with_vectors: x's channels if 16-byte vectors divide the padding, else 1.
int common_channels(const PoolShape& shape, int pad) { return pad % 8 == 0 ? shape.channels : 1; }

}  // namespace

void launch_shortcut(cudaStream_t stream, DType type, const PoolShape& shape, int pad, const void* x, void* y) {
  with_vectors(type, common_channels(shape, pad), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid(shape.batch, shape.out_height, shape.out_width, shape.channels + 2 * pad, N);
    launch(shortcut_kernel<N, T>, grid.shape(stream), grid, shape, pad, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

void launch_shortcut_backward(cudaStream_t stream, DType type, const PoolShape& shape, int pad, const void* grad_y,
                              void* grad_x) {
  with_vectors(type, common_channels(shape, pad), [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const PixelGrid grid = grid_of_x(shape, N);
    launch(shortcut_backward_kernel<N, T>, grid.shape(stream), grid, shape, pad, static_cast<const T*>(grad_y),
           static_cast<T*>(grad_x));
  });
}

}  // namespace gradamp::GRADAMP_GPU
