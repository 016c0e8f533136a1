// SPDX-License-Identifier: MIT
// Launches of the pooling kernels over NHWC images, and of the parameterless shortcut.
#pragma once

#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Extents of x (N, H, W, C) and y (N, P, Q, C).
struct PoolShape {
  int batch, height, width, channels;
  int out_height, out_width;
};

/// argmax, i32, has y's shape: the index h W + w of the first maximum.
void launch_max_pool(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params, const void* x,
                     void* y, std::int32_t* argmax);
void launch_max_pool_backward(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params,
                              const void* grad_y, const std::int32_t* argmax, void* grad_x);
void launch_avg_pool(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params, const void* x,
                     void* y);
void launch_avg_pool_backward(cudaStream_t stream, DType type, const PoolShape& shape, const Pool2dParams& params,
                              const void* grad_y, void* grad_x);
/// x (N, pixels, C), y (N, C).
void launch_global_avg_pool(cudaStream_t stream, DType type, int batch, int pixels, int channels, const void* x,
                            void* y);
void launch_global_avg_pool_backward(cudaStream_t stream, DType type, int batch, int pixels, int channels,
                                     const void* grad_y, void* grad_x);
/// y (N, P, Q, C + 2 pad): every second pixel of x, with `pad` zero channels on both sides.
void launch_shortcut(cudaStream_t stream, DType type, const PoolShape& shape, int pad, const void* x, void* y);
void launch_shortcut_backward(cudaStream_t stream, DType type, const PoolShape& shape, int pad, const void* grad_y,
                              void* grad_x);

}  // namespace gradamp::GRADAMP_GPU
