// SPDX-License-Identifier: MIT
// How a linear layer is computed: a small one by kernels of its own, a larger one by the convolution kernels, a very
// large one by MatrixProduct.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Extents of a linear layer: x (rows, inputs), weight (outputs, inputs), y (rows, outputs).
struct LinearShape {
  int rows, inputs, outputs;
};

/// The kernels that compute a layer's three products.
enum class LinearMethod { kSmall, kConvolution, kLibrary };

/// Maximum numbers of multiply-adds. The first includes the classifiers of networks for CIFAR, 128 * 512 * 100 = 6.6e6:
/// one block of the convolution kernels would compute their results alone (measured on an H100, 128 * 512 * 10: 82, 24
/// and 15 us). The second includes the classifiers up to ResNet-50's with 1000 classes at batch 512, 512 * 2048 * 1000
/// = 1.05e9. So training on CIFAR never needs cuBLAS, and its bits do not depend on the algorithm that cuBLAS chooses
/// for a GPU. A larger product takes so long that a library which is tuned for each GPU is worth loading.
inline constexpr std::int64_t kMaxSmallMultiplyAdds = std::int64_t{1} << 24;
inline constexpr std::int64_t kMaxConvolutionMultiplyAdds = std::int64_t{1} << 30;

/// The method is the same forward and backward: each of the three products has the same number of multiply-adds. The
/// rule depends on the shape alone, so it is the same on every device.
constexpr LinearMethod linear_method(const LinearShape& shape) {
  const std::int64_t of_output = std::int64_t{shape.rows} * shape.inputs;
  if (of_output > kMaxConvolutionMultiplyAdds) return LinearMethod::kLibrary;
  const std::int64_t multiply_adds = of_output * shape.outputs;
  constexpr int kMaxRows = 65535;  // of a grid: rows or outputs
  if (multiply_adds <= kMaxSmallMultiplyAdds && shape.rows <= kMaxRows && shape.outputs <= kMaxRows)
    return LinearMethod::kSmall;
  return multiply_adds <= kMaxConvolutionMultiplyAdds ? LinearMethod::kConvolution : LinearMethod::kLibrary;
}

/// y = x weight^T + bias; all f32. bias (outputs) or null.
void launch_small_linear(cudaStream_t stream, const LinearShape& shape, const float* x, const float* weight,
                         const float* bias, float* y);
/// grad_x = grad_y weight.
void launch_small_linear_backward_input(cudaStream_t stream, const LinearShape& shape, const float* grad_y,
                                        const float* weight, float* grad_x);
/// grad_weight = grad_y^T x.
void launch_small_linear_backward_weight(cudaStream_t stream, const LinearShape& shape, const float* x,
                                         const float* grad_y, float* grad_weight);

/// The layer as a 1x1 convolution of images of one pixel.
constexpr ConvolutionShape as_convolution(const LinearShape& shape) {
  return {.batch = shape.rows,
          .height = 1,
          .width = 1,
          .in_channels = shape.inputs,
          .out_height = 1,
          .out_width = 1,
          .out_channels = shape.outputs,
          .kernel_h = 1,
          .kernel_w = 1,
          .stride = 1,
          .padding = 0};
}

/// y (rows, columns) += bias (columns), f32: MatrixProduct does not add the bias.
void launch_add_bias(cudaStream_t stream, int rows, int columns, const float* bias, float* y);

}  // namespace gradamp::GRADAMP_GPU
