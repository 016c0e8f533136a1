// SPDX-License-Identifier: MIT
// Convolutions by plain loops: read these first. One thread computes one element of the result and reads everything
// that it needs from global memory. The tiled kernels (convolution_forward.cu and its neighbors) compute the same sums,
// but a block loads the data that its threads share once, into shared memory, and multiplies by tensor cores.
//
// Pixel (h, w) of x lies under tap (r, s) of the window of pixel (p, q) of y if
//     h = p stride + r dilation - padding   and   w = q stride + s dilation - padding.
// Output channel k of group g = k / (K / groups) reads the input channels from g (C / groups) on.
#include "gradamp/kernels/cuda/convolution_naive.h"

#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 128;

/// The element of the result that this thread computes.
__device__ int element() { return static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x); }

/// Thread: one element of y (N, P, Q, K).
template <typename T>
__global__ void __launch_bounds__(kThreads) naive_forward_kernel(int count, GeneralConvolution convolution, const T* x,
                                                                 const T* filter, const float* bias, T* y) {
  if (element() >= count) return;
  const ConvolutionShape& shape = convolution.shape;
  const int inputs = shape.in_channels / convolution.groups;
  const int k = element() % shape.out_channels, pixel = element() / shape.out_channels;
  const int q = pixel % shape.out_width, p = pixel / shape.out_width % shape.out_height;
  const int n = pixel / (shape.out_width * shape.out_height);
  const int first = k / (shape.out_channels / convolution.groups) * inputs;
  float sum = 0;
  for (int r = 0; r < shape.kernel_h; ++r) {
    for (int s = 0; s < shape.kernel_w; ++s) {
      const int h = p * shape.stride + r * convolution.dilation - shape.padding;
      const int w = q * shape.stride + s * convolution.dilation - shape.padding;
      if (h < 0 || h >= shape.height || w < 0 || w >= shape.width) continue;  // the padding is zero
      const T* const x_pixel = x + ((n * shape.height + h) * shape.width + w) * shape.in_channels + first;
      const T* const tap = filter + ((k * shape.kernel_h + r) * shape.kernel_w + s) * inputs;
      for (int c = 0; c < inputs; ++c) sum = __fmaf_rn(to_float(x_pixel[c]), to_float(tap[c]), sum);
    }
  }
  y[element()] = from_float<T>(bias != nullptr ? sum + bias[k] : sum);
}

/// Thread: one element of grad_x (N, H, W, C). It receives gradient from every pixel of y whose window covers it.
template <typename T>
__global__ void __launch_bounds__(kThreads) naive_backward_input_kernel(int count, GeneralConvolution convolution,
                                                                        const T* grad_y, const T* filter, T* grad_x) {
  if (element() >= count) return;
  const ConvolutionShape& shape = convolution.shape;
  const int inputs = shape.in_channels / convolution.groups, outputs = shape.out_channels / convolution.groups;
  const int channel = element() % shape.in_channels, pixel = element() / shape.in_channels;
  const int group = channel / inputs, c = channel % inputs;
  const int w = pixel % shape.width, h = pixel / shape.width % shape.height;
  const int n = pixel / (shape.width * shape.height);
  float sum = 0;
  for (int r = 0; r < shape.kernel_h; ++r) {
    for (int s = 0; s < shape.kernel_w; ++s) {
      const int down = h + shape.padding - r * convolution.dilation;   // p stride
      const int right = w + shape.padding - s * convolution.dilation;  // q stride
      if (down < 0 || down % shape.stride != 0 || right < 0 || right % shape.stride != 0) continue;
      const int p = down / shape.stride, q = right / shape.stride;
      if (p >= shape.out_height || q >= shape.out_width) continue;
      const int filter_size = shape.kernel_h * shape.kernel_w * inputs, first = group * outputs;
      const T* const y_pixel = grad_y + ((n * shape.out_height + p) * shape.out_width + q) * shape.out_channels + first;
      const T* const tap = filter + first * filter_size + (r * shape.kernel_w + s) * inputs + c;
      for (int k = 0; k < outputs; ++k) sum = __fmaf_rn(to_float(y_pixel[k]), to_float(tap[k * filter_size]), sum);
    }
  }
  grad_x[element()] = from_float<T>(sum);
}

/// Thread: one element of grad_filter (K, R, S, C / groups), a sum over all pixels of y.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    naive_backward_filter_kernel(int count, GeneralConvolution convolution, const T* x, const T* grad_y,
                                 float* grad_filter) {
  if (element() >= count) return;
  const ConvolutionShape& shape = convolution.shape;
  const int inputs = shape.in_channels / convolution.groups;
  const int c = element() % inputs, tap = element() / inputs;
  const int s = tap % shape.kernel_w, r = tap / shape.kernel_w % shape.kernel_h;
  const int k = tap / (shape.kernel_w * shape.kernel_h);
  const int channel = k / (shape.out_channels / convolution.groups) * inputs + c;
  float sum = 0;
  for (int n = 0; n < shape.batch; ++n) {
    for (int p = 0; p < shape.out_height; ++p) {
      for (int q = 0; q < shape.out_width; ++q) {
        const int h = p * shape.stride + r * convolution.dilation - shape.padding;
        const int w = q * shape.stride + s * convolution.dilation - shape.padding;
        if (h < 0 || h >= shape.height || w < 0 || w >= shape.width) continue;
        const T* const x_pixel = x + ((n * shape.height + h) * shape.width + w) * shape.in_channels;
        const T* const y_pixel = grad_y + ((n * shape.out_height + p) * shape.out_width + q) * shape.out_channels;
        sum = __fmaf_rn(to_float(y_pixel[k]), to_float(x_pixel[channel]), sum);
      }
    }
  }
  grad_filter[element()] = sum;
}

/// One thread per element of a result of `count`.
Launch threads_for(int count, cudaStream_t stream) {
  return {static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream};
}

}  // namespace

void launch_naive_convolution(cudaStream_t stream, DType type, const GeneralConvolution& convolution, const void* x,
                              const void* filter, const float* bias, void* y) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const int count = convolution.shape.pixels_out() * convolution.shape.out_channels;
    launch(naive_forward_kernel<T>, threads_for(count, stream), count, convolution, static_cast<const T*>(x),
           static_cast<const T*>(filter), bias, static_cast<T*>(y));
  });
}

void launch_naive_convolution_backward_input(cudaStream_t stream, DType type, const GeneralConvolution& convolution,
                                             const void* grad_y, const void* filter, void* grad_x) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const ConvolutionShape& shape = convolution.shape;
    const int count = shape.batch * shape.height * shape.width * shape.in_channels;
    launch(naive_backward_input_kernel<T>, threads_for(count, stream), count, convolution,
           static_cast<const T*>(grad_y), static_cast<const T*>(filter), static_cast<T*>(grad_x));
  });
}

void launch_naive_convolution_backward_filter(cudaStream_t stream, DType type, const GeneralConvolution& convolution,
                                              const void* x, const void* grad_y, float* grad_filter) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const ConvolutionShape& shape = convolution.shape;
    const int count = shape.out_channels * shape.taps() * (shape.in_channels / convolution.groups);
    launch(naive_backward_filter_kernel<T>, threads_for(count, stream), count, convolution, static_cast<const T*>(x),
           static_cast<const T*>(grad_y), grad_filter);
  });
}

}  // namespace gradamp::GRADAMP_GPU
