// SPDX-License-Identifier: MIT
// Convolutions by Winograd's algorithm or directly, after the rule in kernels/cpu/convolution_shape.h, and linear
// layers, which are direct convolutions of images of one pixel.
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/simd_kernels.h"

namespace gradamp {
namespace {

ConvolutionShape shape_of(const Shape& x, const Shape& filter, const Shape& y, const Conv2dParams& params) {
  return {x[0],         x[1],      x[2],      x[3],          y[1],           y[2],
          y[3],         filter[1], filter[2], params.stride, params.padding, params.dilation,
          params.groups};
}

/// The convolution that is the linear layer x (batch, inputs), weight (outputs, inputs).
ConvolutionShape shape_of_linear(const Shape& x, const Shape& weight) {
  return {x[0], 1, 1, weight[1], 1, 1, weight[0], 1, 1, 1, 0};
}

float* data_or_null(const Tensor& tensor) { return tensor.defined() ? tensor.data<float>() : nullptr; }

template <typename T>
const ConvolutionKernels<T>& kernels_for(const SimdKernels& kernels, ConvolutionMethod method, ConvolutionPass pass,
                                         const ConvolutionShape& shape) {
  return uses_winograd(method, pass, shape) ? kernels.of<T>().winograd : kernels.of<T>().direct;
}

}  // namespace

/// Few convolutions cannot apply a batch norm to their input: for them it is computed in `memory`.
template <typename T>
ConvolutionInput<T> CpuBackend::convolution_input(const NormalizedTensor& x, const ConvolutionShape& shape,
                                                  Tensor& memory) {
  if (!x.affine.defined()) return {x.tensor.data<T>()};
  if (shape.groups > 1 || shape.in_channels % 16 != 0) {
    memory = Tensor::empty(*this, x.tensor.shape(), x.tensor.dtype());
    apply_batch_norm(x, memory);
    return {memory.data<T>()};
  }
  const float* const mean = x.affine.data<float>();
  return {x.tensor.data<T>(), {mean, mean + shape.in_channels, mean + 2 * shape.in_channels, x.relu}};
}

ChannelMoments CpuBackend::make_moments(const Conv2dForward& tensors, const Conv2dParams& params) {
  const ConvolutionShape shape = shape_of(tensors.x.tensor.shape(), tensors.weight.shape(), tensors.y.shape(), params);
  const std::int64_t rows =  // the same in f32 and bf16
      kernels_for<float>(kernels_, convolution_, ConvolutionPass::kForward, shape).moment_rows(shape);
  if (rows == 0) return {};
  const std::int64_t pixels = shape.batch * shape.out_height * shape.out_width;
  return {Tensor::empty(*this, {(pixels + rows - 1) / rows, 2, shape.out_channels}), rows};
}

void CpuBackend::conv2d_forward(const Conv2dForward& tensors, const Conv2dParams& params) {
  const Tensor &x = tensors.x.tensor, &weight = tensors.weight, &y = tensors.y;
  const ConvolutionShape shape = shape_of(x.shape(), weight.shape(), y.shape(), params);
  Tensor memory;
  with_element_type(x.dtype(), [&]<typename T>(T) {
    kernels_for<T>(kernels_, convolution_, ConvolutionPass::kForward, shape)
        .forward(shape, convolution_input<T>(tensors.x, shape, memory), weight.data<T>(), data_or_null(tensors.bias),
                 y.data<T>(), data_or_null(tensors.moments.values), {threads_, allocator_});
  });
}

void CpuBackend::conv2d_backward_input(const Conv2dBackwardInput& tensors, const Conv2dParams& params) {
  if (tensors.add) return add_backward_input(tensors, params);
  const Tensor &grad_y = tensors.grad_y, &weight = tensors.weight, &grad_x = tensors.grad_x;
  const ConvolutionShape shape = shape_of(grad_x.shape(), weight.shape(), grad_y.shape(), params);
  with_element_type(grad_y.dtype(), [&]<typename T>(T) {
    kernels_for<T>(kernels_, convolution_, ConvolutionPass::kBackwardInput, shape)
        .backward_input(shape, grad_y.data<T>(), weight.data<T>(), grad_x.data<T>(), {threads_, allocator_});
  });
}

void CpuBackend::conv2d_backward_filter(const NormalizedTensor& x, const Tensor& grad_y, const Conv2dParams& params,
                                        const Tensor& grad_weight) {
  const ConvolutionShape shape = shape_of(x.tensor.shape(), grad_weight.shape(), grad_y.shape(), params);
  Tensor memory;
  with_element_type(x.tensor.dtype(), [&]<typename T>(T) {
    kernels_for<T>(kernels_, convolution_, ConvolutionPass::kBackwardFilter, shape)
        .backward_filter(shape, convolution_input<T>(x, shape, memory), grad_y.data<T>(), grad_weight.data<float>(),
                         {threads_, allocator_});
  });
}

void CpuBackend::linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) {
  kernels_.f32.direct.forward(shape_of_linear(x.shape(), weight.shape()), x.data<float>(), weight.data<float>(),
                              data_or_null(bias), y.data<float>(), nullptr, {threads_, allocator_});
}

void CpuBackend::linear_backward_input(const Tensor& grad_y, const Tensor& weight, const Tensor& grad_x) {
  kernels_.f32.direct.backward_input(shape_of_linear(grad_x.shape(), weight.shape()), grad_y.data<float>(),
                                     weight.data<float>(), grad_x.data<float>(), {threads_, allocator_});
}

void CpuBackend::linear_backward_weight(const Tensor& x, const Tensor& grad_y, const Tensor& grad_weight) {
  kernels_.f32.direct.backward_filter(shape_of_linear(x.shape(), grad_weight.shape()), x.data<float>(),
                                      grad_y.data<float>(), grad_weight.data<float>(), {threads_, allocator_});
}

}  // namespace gradamp
