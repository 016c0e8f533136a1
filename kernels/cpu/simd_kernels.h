// SPDX-License-Identifier: MIT
// The kernels that are compiled once for each instruction set, as tables of functions. T is the type of activations,
// float or Bf16.
#pragma once

#include <type_traits>

#include "gradamp/core/bf16.h"
#include "gradamp/kernels/cpu/batch_norm_range.h"
#include "gradamp/kernels/cpu/channel_affine.h"
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/instruction_set.h"
#include "gradamp/kernels/cpu/workers.h"

namespace gradamp {

/// The three passes of a convolution by one method: kernels/cpu/simd/direct.h, kernels/cpu/simd/winograd.h. An input
/// with a batch norm to apply has one group and a multiple of 16 channels.
template <typename T>
struct ConvolutionKernels {
  void (*forward)(const ConvolutionShape& shape, const ConvolutionInput<T>& x, const T* weight, const float* bias, T* y,
                  float* moments, const Workers& workers);
  void (*backward_input)(const ConvolutionShape& shape, const T* grad_y, const T* weight, T* grad_x,
                         const Workers& workers);
  void (*backward_filter)(const ConvolutionShape& shape, const ConvolutionInput<T>& x, const T* grad_y,
                          float* grad_weight, const Workers& workers);
  std::int64_t (*moment_rows)(const ConvolutionShape& shape);
};

template <typename T>
struct ActivationKernels {
  ConvolutionKernels<T> direct, winograd;
  BatchNormKernels<T> batch_norm;
};

struct SimdKernels {
  ActivationKernels<float> f32;
  ActivationKernels<Bf16> bf16;

  template <typename T>
  const ActivationKernels<T>& of() const {
    if constexpr (std::is_same_v<T, Bf16>) {
      return bf16;
    } else {
      return f32;
    }
  }
};

/// The kernels for a set that usable_instruction_sets() contains.
const SimdKernels& simd_kernels(InstructionSet set);

}  // namespace gradamp
