// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// y (rows, columns) += bias (columns), f32.
void launch_add_bias(cudaStream_t stream, int rows, int columns, const float* bias, float* y);

}  // namespace gradamp::GRADAMP_GPU
