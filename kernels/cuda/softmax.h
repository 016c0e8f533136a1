// SPDX-License-Identifier: MIT
// Softmax over the channels of each row. Pointers point to (rows, channels) elements of `type`, f32 or bf16, in device
// memory.
#pragma once

#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// y = e^x / (sum of e^x over the row).
void launch_softmax(cudaStream_t stream, DType type, std::int64_t rows, int channels, const void* x, void* y);
/// grad_x = y (grad_y - s), with s = sum of grad_y y over the row.
void launch_softmax_backward(cudaStream_t stream, DType type, std::int64_t rows, int channels, const void* grad_y,
                             const void* y, void* grad_x);

}  // namespace gradamp::GRADAMP_GPU
