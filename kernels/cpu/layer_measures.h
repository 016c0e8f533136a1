// SPDX-License-Identifier: MIT
// Measures of layers from the sums of their gradients ([IGA] 3.2-3.6): for the CPU backend and gradamp::statistics.
#pragma once

#include <cstdint>

#include "gradamp/core/amplification.h"

namespace gradamp {

/// Σ|S|, ΣA and Σ|S|/A of one layer's sums.
struct LayerSums {
  double signed_sum = 0, absolute_sum = 0, ratio_sum = 0;

  double g() const { return absolute_sum > 0 ? signed_sum / absolute_sum : 0.0; }              // eq. 4
  double g_prime(std::int64_t count) const { return ratio_sum / static_cast<double>(count); }  // eq. 7
  LayerSums& operator+=(const LayerSums& other);
};

/// Adds in an order that depends on `count` alone.
LayerSums sum_layer(const float* signed_sums, const float* absolute_sums, std::int64_t count);

/// (value - mean) / population standard deviation ([IGA] eq. 6, 9), or 0 if all values are equal but for rounding.
void normalize_over_layers(const double* values, std::int64_t count, double* normalized);

/// Whether a layer with this normalized measure is selected ([IGA] 3.6).
bool is_selected(double normalized, SelectionCase selection_case, double threshold);

}  // namespace gradamp
