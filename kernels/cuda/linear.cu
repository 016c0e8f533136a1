// SPDX-License-Identifier: MIT
// The part of a large linear layer that is not a matrix product.
#include "gradamp/kernels/cuda/linear.h"

#include <cstdint>

#include "gradamp/kernels/cuda/divisor.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    add_bias_kernel(int count, Divisor by_columns, const float* bias, float* y) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i < count) y[i] += bias[by_columns.divide(i).remainder];
}

}  // namespace

void launch_add_bias(cudaStream_t stream, int rows, int columns, const float* bias, float* y) {
  const int count = rows * columns;
  launch(add_bias_kernel, {static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream}, count,
         Divisor(columns), bias, y);
}

}  // namespace gradamp::GRADAMP_GPU
