// SPDX-License-Identifier: MIT
// Pooling over NHWC: the innermost loop runs over channels, which are adjacent in memory. Sums are f32 in memory of
// their own, because an output can be bf16.
#include <algorithm>
#include <limits>
#include <vector>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// [begin, end) of rows or columns.
struct Span {
  std::int64_t begin, end;
};

/// The part of window `index` that is inside an image of `size` rows or columns.
Span window_at(std::int64_t index, const Pool2dParams& params, std::int64_t size) {
  const std::int64_t begin = index * params.stride - params.padding;
  return {std::max<std::int64_t>(begin, 0), std::min<std::int64_t>(begin + params.kernel, size)};
}

/// The windows, of `count`, that row or column `index` of the image is in.
Span windows_with(std::int64_t index, const Pool2dParams& params, std::int64_t count) {
  const std::int64_t last = index + params.padding;  // the windows begin at 0, stride, 2 * stride ... here
  return {std::max<std::int64_t>(0, (last - params.kernel + params.stride) / params.stride),
          std::min<std::int64_t>(count, last / params.stride + 1)};
}

template <typename T>
void add_scaled(const T* from, float factor, std::int64_t channels, float* to) {
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) to[c] += factor * from[c];
}

/// Calls body(row, column, sums) for every pixel of y (N, H, W, C), and then stores `sums`, which body has computed for
/// the pixel's channels. `row` counts the rows of all images. sums[c] is 0 before.
template <typename T, typename Body>
void for_each_pixel(int threads, const Tensor& y, const Body& body) {
  const Shape shape = y.shape();
  const std::int64_t columns = shape[2], channels = shape[3];
  parallel_for(threads, shape[0] * shape[1], [&](std::int64_t row) {
    std::vector<float> sums(static_cast<std::size_t>(channels));
    T* pixel = y.data<T>() + row * columns * channels;
    for (std::int64_t column = 0; column < columns; ++column, pixel += channels) {
      std::fill(sums.begin(), sums.end(), 0.0f);
      body(row, column, sums.data());
      std::copy(sums.begin(), sums.end(), pixel);
    }
  });
}

template <typename T>
void max_pool(int threads, const Tensor& x, const Pool2dParams& params, const Tensor& y, const Tensor& argmax) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t height = in[1], width = in[2], channels = in[3];
  parallel_for(threads, out[0] * out[1], [&](std::int64_t line) {
    const T* image = x.data<T>() + line / out[1] * height * width * channels;
    const Span rows = window_at(line % out[1], params, height);
    for (std::int64_t q = 0; q < out[2]; ++q) {
      T* best = y.data<T>() + (line * out[2] + q) * channels;
      std::int32_t* place = argmax.data<std::int32_t>() + (line * out[2] + q) * channels;
      std::fill_n(best, channels, T(-std::numeric_limits<float>::infinity()));
      std::fill_n(place, channels, -1);
      const Span columns = window_at(q, params, width);
      for (std::int64_t h = rows.begin; h < rows.end; ++h) {
        for (std::int64_t w = columns.begin; w < columns.end; ++w) {
          const std::int64_t pixel = h * width + w;
          const T* values = image + pixel * channels;
#pragma omp simd
          for (std::int64_t c = 0; c < channels; ++c) {
            // A NaN wins. The first value of a window always wins.
            const float value = values[c], last = best[c];
            const bool better = place[c] < 0 || value > last || value != value;
            best[c] = better ? value : last;
            place[c] = better ? static_cast<std::int32_t>(pixel) : place[c];
          }
        }
      }
    }
  });
}

}  // namespace

void CpuBackend::max_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                                    const Tensor& argmax) {
  with_element_type(x.dtype(), [&]<typename T>(T) { max_pool<T>(threads_, x, params, y, argmax); });
}

void CpuBackend::max_pool2d_backward(const Tensor& grad_y, const Tensor& argmax, const Pool2dParams& params,
                                     const Tensor& grad_x) {
  const Shape in = grad_x.shape(), out = grad_y.shape();
  const std::int64_t channels = in[3];
  with_element_type(grad_y.dtype(), [&]<typename T>(T) {
    for_each_pixel<T>(threads_, grad_x, [&](std::int64_t row, std::int64_t w, float* sums) {
      const std::int64_t n = row / in[1], h = row % in[1];
      const auto pixel = static_cast<std::int32_t>(h * in[2] + w);
      const Span rows = windows_with(h, params, out[1]), columns = windows_with(w, params, out[2]);
      for (std::int64_t p = rows.begin; p < rows.end; ++p) {
        for (std::int64_t q = columns.begin; q < columns.end; ++q) {
          const std::int64_t first = ((n * out[1] + p) * out[2] + q) * channels;
          const T* grad = grad_y.data<T>() + first;
          const std::int32_t* place = argmax.data<std::int32_t>() + first;
#pragma omp simd
          for (std::int64_t c = 0; c < channels; ++c) sums[c] += place[c] == pixel ? static_cast<float>(grad[c]) : 0.0f;
        }
      }
    });
  });
}

void CpuBackend::avg_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  const Shape in = x.shape(), out = y.shape();
  const float share = 1.0f / static_cast<float>(params.kernel * params.kernel);
  with_element_type(x.dtype(), [&]<typename T>(T) {
    for_each_pixel<T>(threads_, y, [&](std::int64_t row, std::int64_t q, float* sums) {
      const T* image = x.data<T>() + row / out[1] * in[1] * in[2] * in[3];
      const Span rows = window_at(row % out[1], params, in[1]), columns = window_at(q, params, in[2]);
      for (std::int64_t h = rows.begin; h < rows.end; ++h)
        for (std::int64_t w = columns.begin; w < columns.end; ++w)
          add_scaled(image + (h * in[2] + w) * in[3], share, in[3], sums);
    });
  });
}

void CpuBackend::avg_pool2d_backward(const Tensor& grad_y, const Pool2dParams& params, const Tensor& grad_x) {
  const Shape in = grad_x.shape(), out = grad_y.shape();
  const float share = 1.0f / static_cast<float>(params.kernel * params.kernel);
  with_element_type(grad_y.dtype(), [&]<typename T>(T) {
    for_each_pixel<T>(threads_, grad_x, [&](std::int64_t row, std::int64_t w, float* sums) {
      const T* image = grad_y.data<T>() + row / in[1] * out[1] * out[2] * out[3];
      const Span rows = windows_with(row % in[1], params, out[1]), columns = windows_with(w, params, out[2]);
      for (std::int64_t p = rows.begin; p < rows.end; ++p)
        for (std::int64_t q = columns.begin; q < columns.end; ++q)
          add_scaled(image + (p * out[2] + q) * out[3], share, out[3], sums);
    });
  });
}

void CpuBackend::global_avg_pool_forward(const Tensor& x, const Tensor& y) {
  const std::int64_t pixels = x.shape()[1] * x.shape()[2], channels = x.shape()[3];
  const float share = 1.0f / static_cast<float>(pixels);
  with_element_type(x.dtype(), [&]<typename T>(T) {
    for_each_pixel<T>(threads_, y.view({y.shape()[0], 1, 1, channels}), [&](std::int64_t n, std::int64_t, float* sums) {
      for (std::int64_t i = 0; i < pixels; ++i)
        add_scaled(x.data<T>() + (n * pixels + i) * channels, share, channels, sums);
    });
  });
}

void CpuBackend::global_avg_pool_backward(const Tensor& grad_y, const Tensor& grad_x) {
  const std::int64_t pixels = grad_x.shape()[1] * grad_x.shape()[2], channels = grad_x.shape()[3];
  const float share = 1.0f / static_cast<float>(pixels);
  with_element_type(grad_y.dtype(), [&]<typename T>(T) {
    parallel_for(threads_, grad_x.shape()[0], [&](std::int64_t n) {
      const T* grad = grad_y.data<T>() + n * channels;
      for (std::int64_t i = 0; i < pixels; ++i) {
        T* pixel = grad_x.data<T>() + (n * pixels + i) * channels;
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) pixel[c] = share * grad[c];
      }
    });
  });
}

void CpuBackend::shortcut_forward(const Tensor& x, const Tensor& y) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t pad = (out[3] - in[3]) / 2;
  with_element_type(x.dtype(), [&]<typename T>(T) {
    parallel_for(threads_, out[0] * out[1], [&](std::int64_t line) {
      const std::int64_t n = line / out[1], h = 2 * (line % out[1]);
      for (std::int64_t q = 0; q < out[2]; ++q) {
        const T* from = x.data<T>() + ((n * in[1] + h) * in[2] + 2 * q) * in[3];
        T* to = y.data<T>() + (line * out[2] + q) * out[3];
        std::fill_n(to, pad, T{});
        std::copy_n(from, in[3], to + pad);
        std::fill_n(to + pad + in[3], pad, T{});
      }
    });
  });
}

void CpuBackend::shortcut_backward(const Tensor& grad_y, const Tensor& grad_x) {
  const Shape in = grad_x.shape(), out = grad_y.shape();
  const std::int64_t pad = (out[3] - in[3]) / 2;
  with_element_type(grad_y.dtype(), [&]<typename T>(T) {
    parallel_for(threads_, in[0] * in[1], [&](std::int64_t line) {
      const std::int64_t n = line / in[1], h = line % in[1];
      for (std::int64_t w = 0; w < in[2]; ++w) {
        T* to = grad_x.data<T>() + (line * in[2] + w) * in[3];
        if (h % 2 == 0 && w % 2 == 0) {
          std::copy_n(grad_y.data<T>() + ((n * out[1] + h / 2) * out[2] + w / 2) * out[3] + pad, in[3], to);
        } else {
          std::fill_n(to, in[3], T{});
        }
      }
    });
  });
}

}  // namespace gradamp
