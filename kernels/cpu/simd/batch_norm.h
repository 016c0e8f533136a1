// SPDX-License-Identifier: MIT
// The loops of batch norm, each over one range of rows. kernels/cpu/batch_norm_range.h describes them.
#pragma once

#include "gradamp/kernels/cpu/batch_norm_range.h"
#include "gradamp/kernels/cpu/simd/simd.h"

namespace gradamp::GRADAMP_SIMD {

template <typename T>
void batch_norm_moments(const BatchNormRange& range, const T* x, double* mean, double* deviations);
template <typename T>
void batch_norm_apply(const BatchNormRange& range, const BatchNormLanes& lanes, bool relu, const T* x,
                      const T* residual, T* y);
template <typename T>
void batch_norm_reduce(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad<T>& grad,
                       T* grad_residual, double* grad_sums, double* product_sums);
template <typename T>
void batch_norm_grad_x(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad<T>& grad,
                       const float* slope, const float* offset, T* grad_x);

}  // namespace gradamp::GRADAMP_SIMD
