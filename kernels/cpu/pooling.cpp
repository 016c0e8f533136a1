// SPDX-License-Identifier: MIT
// Pooling over NHWC: the innermost loop runs over channels, which are adjacent in memory.
#include <algorithm>
#include <limits>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// The part of a window that is inside the image.
struct Window {
  std::int64_t h_begin, h_end, w_begin, w_end;
};

Window window_at(std::int64_t p, std::int64_t q, const Pool2dParams& params, std::int64_t height, std::int64_t width) {
  const std::int64_t h = p * params.stride - params.padding, w = q * params.stride - params.padding;
  return {std::max<std::int64_t>(h, 0), std::min<std::int64_t>(h + params.kernel, height), std::max<std::int64_t>(w, 0),
          std::min<std::int64_t>(w + params.kernel, width)};
}

void add_scaled(const float* from, float factor, std::int64_t channels, float* to) {
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) to[c] += factor * from[c];
}

}  // namespace

void CpuBackend::max_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                                    const Tensor& argmax) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t height = in[1], width = in[2], channels = in[3];
  parallel_for(threads_, out[0] * out[1], [&](std::int64_t line) {
    const float* image = x.data<float>() + line / out[1] * height * width * channels;
    for (std::int64_t q = 0; q < out[2]; ++q) {
      float* best = y.data<float>() + (line * out[2] + q) * channels;
      std::int32_t* place = argmax.data<std::int32_t>() + (line * out[2] + q) * channels;
      std::fill_n(best, channels, -std::numeric_limits<float>::infinity());
      std::fill_n(place, channels, -1);
      const Window window = window_at(line % out[1], q, params, height, width);
      for (std::int64_t h = window.h_begin; h < window.h_end; ++h) {
        for (std::int64_t w = window.w_begin; w < window.w_end; ++w) {
          const std::int64_t pixel = h * width + w;
          const float* values = image + pixel * channels;
#pragma omp simd
          for (std::int64_t c = 0; c < channels; ++c) {
            // A NaN wins. The first value of a window always wins.
            const bool better = place[c] < 0 || values[c] > best[c] || values[c] != values[c];
            best[c] = better ? values[c] : best[c];
            place[c] = better ? static_cast<std::int32_t>(pixel) : place[c];
          }
        }
      }
    }
  });
}

void CpuBackend::max_pool2d_backward(const Tensor& grad_y, const Tensor& argmax, const Pool2dParams&,
                                     const Tensor& grad_x) {
  const Shape in = grad_x.shape(), out = grad_y.shape();
  const std::int64_t channels = in[3];
  parallel_for(threads_, in[0], [&](std::int64_t n) {
    float* image = grad_x.data<float>() + n * in[1] * in[2] * channels;
    std::fill_n(image, in[1] * in[2] * channels, 0.0f);
    const std::int64_t first = n * out[1] * out[2] * channels;
    const float* grad = grad_y.data<float>() + first;
    const std::int32_t* place = argmax.data<std::int32_t>() + first;
    for (std::int64_t i = 0; i < out[1] * out[2] * channels; ++i) image[place[i] * channels + i % channels] += grad[i];
  });
}

void CpuBackend::avg_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  const Shape in = x.shape(), out = y.shape();
  const float share = 1.0f / static_cast<float>(params.kernel * params.kernel);
  parallel_for(threads_, out[0] * out[1], [&](std::int64_t line) {
    const float* image = x.data<float>() + line / out[1] * in[1] * in[2] * in[3];
    for (std::int64_t q = 0; q < out[2]; ++q) {
      float* average = y.data<float>() + (line * out[2] + q) * in[3];
      std::fill_n(average, in[3], 0.0f);
      const Window window = window_at(line % out[1], q, params, in[1], in[2]);
      for (std::int64_t h = window.h_begin; h < window.h_end; ++h) {
        for (std::int64_t w = window.w_begin; w < window.w_end; ++w)
          add_scaled(image + (h * in[2] + w) * in[3], share, in[3], average);
      }
    }
  });
}

void CpuBackend::avg_pool2d_backward(const Tensor& grad_y, const Pool2dParams& params, const Tensor& grad_x) {
  const Shape in = grad_x.shape(), out = grad_y.shape();
  const float share = 1.0f / static_cast<float>(params.kernel * params.kernel);
  parallel_for(threads_, in[0], [&](std::int64_t n) {
    float* image = grad_x.data<float>() + n * in[1] * in[2] * in[3];
    std::fill_n(image, in[1] * in[2] * in[3], 0.0f);
    for (std::int64_t p = 0; p < out[1]; ++p) {
      for (std::int64_t q = 0; q < out[2]; ++q) {
        const float* grad = grad_y.data<float>() + ((n * out[1] + p) * out[2] + q) * in[3];
        const Window window = window_at(p, q, params, in[1], in[2]);
        for (std::int64_t h = window.h_begin; h < window.h_end; ++h) {
          for (std::int64_t w = window.w_begin; w < window.w_end; ++w)
            add_scaled(grad, share, in[3], image + (h * in[2] + w) * in[3]);
        }
      }
    }
  });
}

void CpuBackend::global_avg_pool_forward(const Tensor& x, const Tensor& y) {
  const std::int64_t pixels = x.shape()[1] * x.shape()[2], channels = x.shape()[3];
  const float share = 1.0f / static_cast<float>(pixels);
  parallel_for(threads_, x.shape()[0], [&](std::int64_t n) {
    float* average = y.data<float>() + n * channels;
    std::fill_n(average, channels, 0.0f);
    for (std::int64_t i = 0; i < pixels; ++i)
      add_scaled(x.data<float>() + (n * pixels + i) * channels, share, channels, average);
  });
}

void CpuBackend::global_avg_pool_backward(const Tensor& grad_y, const Tensor& grad_x) {
  const std::int64_t pixels = grad_x.shape()[1] * grad_x.shape()[2], channels = grad_x.shape()[3];
  const float share = 1.0f / static_cast<float>(pixels);
  parallel_for(threads_, grad_x.shape()[0], [&](std::int64_t n) {
    const float* grad = grad_y.data<float>() + n * channels;
    for (std::int64_t i = 0; i < pixels; ++i) {
      float* pixel = grad_x.data<float>() + (n * pixels + i) * channels;
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) pixel[c] = share * grad[c];
    }
  });
}

void CpuBackend::shortcut_forward(const Tensor& x, const Tensor& y) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t pad = (out[3] - in[3]) / 2;
  parallel_for(threads_, out[0] * out[1], [&](std::int64_t line) {
    const std::int64_t n = line / out[1], h = 2 * (line % out[1]);
    for (std::int64_t q = 0; q < out[2]; ++q) {
      const float* from = x.data<float>() + ((n * in[1] + h) * in[2] + 2 * q) * in[3];
      float* to = y.data<float>() + (line * out[2] + q) * out[3];
      std::fill_n(to, pad, 0.0f);
      std::copy_n(from, in[3], to + pad);
      std::fill_n(to + pad + in[3], pad, 0.0f);
    }
  });
}

void CpuBackend::shortcut_backward(const Tensor& grad_y, const Tensor& grad_x) {
  const Shape in = grad_x.shape(), out = grad_y.shape();
  const std::int64_t pad = (out[3] - in[3]) / 2;
  parallel_for(threads_, in[0] * in[1], [&](std::int64_t line) {
    const std::int64_t n = line / in[1], h = line % in[1];
    for (std::int64_t w = 0; w < in[2]; ++w) {
      float* to = grad_x.data<float>() + (line * in[2] + w) * in[3];
      if (h % 2 == 0 && w % 2 == 0) {
        std::copy_n(grad_y.data<float>() + ((n * out[1] + h / 2) * out[2] + w / 2) * out[3] + pad, in[3], to);
      } else {
        std::fill_n(to, in[3], 0.0f);
      }
    }
  });
}

}  // namespace gradamp
