// SPDX-License-Identifier: MIT
// The loops of batch norm (kernels/cpu/batch_norm.cpp), each over one range of rows.
#pragma once

#include "gradamp/kernels/cpu/batch_norm_range.h"
#include "gradamp/kernels/cpu/simd/simd.h"

namespace gradamp::GRADAMP_SIMD {

void batch_norm_moments(const BatchNormRange& range, const float* x, double* mean, double* deviations);
void batch_norm_apply(const BatchNormRange& range, const BatchNormLanes& lanes, bool relu, const float* x,
                      const float* residual, float* y);
void batch_norm_reduce(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad& grad,
                       float* grad_residual, double* grad_sums, double* product_sums);
void batch_norm_grad_x(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad& grad,
                       const float* slope, const float* offset, float* grad_x);

}  // namespace gradamp::GRADAMP_SIMD
