// SPDX-License-Identifier: MIT
// The kernels that are compiled once for each instruction set, as tables of functions.
#pragma once

#include "gradamp/kernels/cpu/batch_norm_range.h"
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/instruction_set.h"
#include "gradamp/kernels/cpu/workers.h"

namespace gradamp {

/// The three passes of a convolution by one method: kernels/cpu/simd/direct.h, kernels/cpu/simd/winograd.h.
struct ConvolutionKernels {
  void (*forward)(const ConvolutionShape& shape, const float* x, const float* weight, const float* bias, float* y,
                  const Workers& workers);
  void (*backward_input)(const ConvolutionShape& shape, const float* grad_y, const float* weight, float* grad_x,
                         const Workers& workers);
  void (*backward_filter)(const ConvolutionShape& shape, const float* x, const float* grad_y, float* grad_weight,
                          const Workers& workers);
};

struct SimdKernels {
  ConvolutionKernels direct, winograd;
  BatchNormKernels batch_norm;
};

/// The kernels for a set that usable_instruction_sets() contains.
const SimdKernels& simd_kernels(InstructionSet set);

}  // namespace gradamp
