// SPDX-License-Identifier: MIT
// Sums over the gradients of one iteration, by weight and by neuron ([IGA] 3.2): for gradamp::statistics. Gradients
// that are not finite are counted and add nothing. Sums have an order that depends on the number of elements alone.
#pragma once

#include <cstdint>

namespace gradamp {

/// What gradients add to the numbers of their layer, apart from the sums per weight or neuron.
struct GradientTotals {
  double signed_sum = 0, absolute_sum = 0, square_sum = 0, maximum = 0;
  std::int64_t zeros = 0, not_finite = 0;

  GradientTotals& operator+=(const GradientTotals& other);
};

/// signed_sums[i] += g and absolute_sums[i] += |g| for the `count` gradients g. T: float, Bf16 or F16. The totals'
/// `signed_sum` and `absolute_sum` stay 0, since these sums have them.
template <typename T>
GradientTotals add_weights(const T* gradients, std::int64_t count, float* signed_sums, float* absolute_sums);

/// The totals of a neuron's gradients; their `signed_sum` is the neuron's gradient.
template <typename T>
GradientTotals sum_gradients(const T* gradients, std::int64_t count);

/// Multiplies the gradients by `factor`.
template <typename T>
void scale_gradients(T* gradients, std::int64_t count, float factor);

}  // namespace gradamp
