// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/layer_measures.h"

#include <algorithm>
#include <cmath>

namespace gradamp {

LayerSums& LayerSums::operator+=(const LayerSums& other) {
  signed_sum += other.signed_sum;
  absolute_sum += other.absolute_sum;
  ratio_sum += other.ratio_sum;
  return *this;
}

LayerSums sum_layer(const float* signed_sums, const float* absolute_sums, std::int64_t count) {
  LayerSums total;
  for (std::int64_t begin = 0; begin < count; begin += kArenaChunk) {  // sums per chunk, for small rounding errors
    const std::int64_t end = std::min(count, begin + kArenaChunk);
    double signed_sum = 0, absolute_sum = 0, ratio_sum = 0;
#pragma omp simd reduction(+ : signed_sum, absolute_sum, ratio_sum)
    for (std::int64_t i = begin; i < end; ++i) {
      const double s = std::fabs(static_cast<double>(signed_sums[i]));
      const double a = static_cast<double>(absolute_sums[i]);
      signed_sum += s;
      absolute_sum += a;
      ratio_sum += a > 0 ? s / a : 0.0;
    }
    total += {signed_sum, absolute_sum, ratio_sum};
  }
  return total;
}

void normalize_over_layers(const double* values, std::int64_t count, double* normalized) {
  double sum = 0, square_sum = 0, largest = 0;
  for (std::int64_t l = 0; l < count; ++l) {
    sum += values[l];
    largest = std::max(largest, std::fabs(values[l]));
  }
  const double mean = sum / static_cast<double>(count);
  for (std::int64_t l = 0; l < count; ++l) square_sum += (values[l] - mean) * (values[l] - mean);
  const double deviation = std::sqrt(square_sum / static_cast<double>(count));
  // Rounding alone can leave a std of about 1e-16 of the values, which must not become a score of 1. Real differences
  // between float32 sums give a std above 1e-12.
  const bool equal = deviation <= 1e-12 * largest;
  for (std::int64_t l = 0; l < count; ++l) normalized[l] = equal ? 0.0 : (values[l] - mean) / deviation;
}

bool is_selected(double normalized, SelectionCase selection_case, double threshold) {
  return (selection_case == SelectionCase::kTwoSided ? std::fabs(normalized) : normalized) > threshold;
}

}  // namespace gradamp
