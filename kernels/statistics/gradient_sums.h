// SPDX-License-Identifier: MIT
// Sums over the gradients of one iteration, by weight and by neuron ([IGA] 3.2). Gradients that are not finite are
// counted and add nothing. The bits depend on the gradients and their number alone, not on the instruction set.
#pragma once

#include <cstdint>
#include <type_traits>

#include "gradamp/core/bf16.h"
#include "gradamp/core/f16.h"
#include "gradamp/kernels/cpu/instruction_set.h"

namespace gradamp {

/// What gradients add to the numbers of their layer, apart from the sums per weight or neuron.
struct GradientTotals {
  double signed_sum = 0, absolute_sum = 0, square_sum = 0, maximum = 0;
  std::int64_t zeros = 0, not_finite = 0;

  GradientTotals& operator+=(const GradientTotals& other);
};

/// The kernels for gradients of type T: float, Bf16 or F16.
template <typename T>
struct GradientSumKernels {
  /// signed_sums[i] += g and absolute_sums[i] += |g| for the `count` gradients g. The totals' `signed_sum` and
  /// `absolute_sum` stay 0, since these sums have them.
  GradientTotals (*add_weights)(const T* gradients, std::int64_t count, float* signed_sums, float* absolute_sums);
  /// The totals of a neuron's gradients; their `signed_sum` is the neuron's gradient.
  GradientTotals (*sum_neuron)(const T* gradients, std::int64_t count);
};

/// Compiled once for each instruction set.
struct GradientKernels {
  GradientSumKernels<float> f32;
  GradientSumKernels<Bf16> bf16;
  GradientSumKernels<F16> f16;

  template <typename T>
  const GradientSumKernels<T>& of() const {
    if constexpr (std::is_same_v<T, Bf16>) {
      return bf16;
    } else if constexpr (std::is_same_v<T, F16>) {
      return f16;
    } else {
      return f32;
    }
  }
};

/// The kernels for a set that usable_instruction_sets() contains.
const GradientKernels& gradient_kernels(InstructionSet set);

/// Multiplies the gradients by `factor`.
template <typename T>
void scale_gradients(T* gradients, std::int64_t count, float factor);

}  // namespace gradamp
