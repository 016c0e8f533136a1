// SPDX-License-Identifier: MIT
// Launches of the elementwise kernels. Pointers point to `count` elements of `type`, f32 or bf16, in device memory.
#pragma once

#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/core/step_counters.h"
#include "gradamp/core/unary_functions.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// y = max(0, x). A NaN remains a NaN.
void launch_relu(cudaStream_t stream, DType type, std::int64_t count, const void* x, void* y);
/// grad_x = grad_y if y > 0, else 0.
void launch_relu_backward(cudaStream_t stream, DType type, std::int64_t count, const void* grad_y, const void* y,
                          void* grad_x);
/// sum = a + b; `sum` may be `a`.
void launch_add(cudaStream_t stream, DType type, std::int64_t count, const void* a, const void* b, void* sum);
/// product = a * b.
void launch_mul(cudaStream_t stream, DType type, std::int64_t count, const void* a, const void* b, void* product);
/// y = f(x).
void launch_unary(cudaStream_t stream, UnaryFunction function, DType type, std::int64_t count, const void* x, void* y);
/// grad_x = f'(x) grad_y.
void launch_unary_backward(cudaStream_t stream, UnaryFunction function, DType type, std::int64_t count,
                           const void* grad_y, const void* x, void* grad_x);
/// y = *factor * x.
void launch_scale(cudaStream_t stream, DType type, std::int64_t count, const void* x, const float* factor, void* y);
/// y = x, converted to another type.
void launch_cast(cudaStream_t stream, DType from, DType to, std::int64_t count, const void* x, void* y);
void launch_fill(cudaStream_t stream, std::int64_t count, float value, float* y);
/// y = 0 with the given probability, else x / (1 - probability). The mask depends only on `counters` (StepState) and
/// the substream.
void launch_dropout(cudaStream_t stream, DType type, std::int64_t count, const DropoutParams& params,
                    const std::int64_t* counters, const void* x, void* y);

}  // namespace gradamp::GRADAMP_GPU
