// SPDX-License-Identifier: MIT
// How a linear layer is computed: a small one by the convolution kernels, a large one by MatrixProduct.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Extents of a linear layer: x (rows, inputs), weight (outputs, inputs), y (rows, outputs).
struct LinearShape {
  int rows, inputs, outputs;
};

/// Maximum number of multiply-adds of a linear layer that is computed as a 1x1 convolution. The limit includes the
/// classifiers up to ResNet-50's with 1000 classes at batch 512, 512 * 2048 * 1000 = 1.05e9. So training on CIFAR never
/// needs cuBLAS, and its bits do not depend on the algorithm that cuBLAS chooses for a GPU. A larger product takes so
/// long that a library which is tuned for each GPU is worth loading.
inline constexpr std::int64_t kMaxConvolutionMultiplyAdds = std::int64_t{1} << 30;

/// Whether the convolution kernels compute the layer, forward and backward: each of its three products has the same
/// number of multiply-adds. The rule depends on the shape alone, so it is the same on every device.
constexpr bool is_computed_as_convolution(const LinearShape& shape) {
  const std::int64_t multiply_adds_of_output = std::int64_t{shape.rows} * shape.inputs;
  return multiply_adds_of_output <= kMaxConvolutionMultiplyAdds &&
         multiply_adds_of_output * shape.outputs <= kMaxConvolutionMultiplyAdds;
}

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
