// SPDX-License-Identifier: MIT
#pragma once

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Batch norm's normalized, scaled and shifted value, before the residual. Forward and backward share this expression,
/// so that the ReLU's mask is bitwise identical in both.
__device__ __forceinline__ float batch_norm_affine(float x, float mean, float scale, float beta) {
  return __fmaf_rn(x - mean, scale, beta);
}

}  // namespace gradamp::GRADAMP_GPU
