// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/gradient_sums.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "gradamp/core/bf16.h"
#include "gradamp/core/f16.h"

namespace gradamp {
namespace {

constexpr std::int64_t kChunk = 1024;  // elements that are added in vectors: 32-bit counts, and small rounding errors

/// One chunk; with kKeep into the sums, which then have what signed_sum and absolute_sum would: to add these in double,
/// too, takes a fifth longer.
template <bool kKeep, typename T>
GradientTotals add_chunk(const T* gradients, std::int64_t count, float* signed_sums, float* absolute_sums) {
  double signed_sum = 0, absolute_sum = 0, square_sum = 0;
  float maximum = 0;
  std::int32_t zeros = 0, not_finite = 0;
#pragma omp simd reduction(+ : signed_sum, absolute_sum, square_sum, zeros, not_finite) reduction(max : maximum)
  for (std::int64_t i = 0; i < count; ++i) {
    const float given = gradients[i];
    const std::uint32_t magnitude_bits = std::bit_cast<std::uint32_t>(given) & 0x7fffffffu;
    const bool is_finite = magnitude_bits < 0x7f800000u;
    const float gradient = is_finite ? given : 0.0f, magnitude = std::fabs(gradient);
    const double wide = gradient;
    if constexpr (kKeep) {
      signed_sums[i] += gradient;
      absolute_sums[i] += magnitude;
    } else {
      signed_sum += wide;
      absolute_sum += std::fabs(wide);
    }
    square_sum += wide * wide;
    maximum = std::max(maximum, magnitude);
    zeros += magnitude_bits == 0 ? 1 : 0;
    not_finite += is_finite ? 0 : 1;
  }
  return {signed_sum, absolute_sum, square_sum, static_cast<double>(maximum), zeros, not_finite};
}

template <bool kKeep, typename T>
GradientTotals add(const T* gradients, std::int64_t count, float* signed_sums, float* absolute_sums) {
  GradientTotals totals;
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const std::int64_t length = std::min(kChunk, count - begin);
    totals += add_chunk<kKeep>(gradients + begin, length, kKeep ? signed_sums + begin : nullptr,
                               kKeep ? absolute_sums + begin : nullptr);
  }
  return totals;
}

}  // namespace

GradientTotals& GradientTotals::operator+=(const GradientTotals& other) {
  signed_sum += other.signed_sum;
  absolute_sum += other.absolute_sum;
  square_sum += other.square_sum;
  maximum = std::max(maximum, other.maximum);
  zeros += other.zeros;
  not_finite += other.not_finite;
  return *this;
}

template <typename T>
GradientTotals add_weights(const T* gradients, std::int64_t count, float* signed_sums, float* absolute_sums) {
  return add<true>(gradients, count, signed_sums, absolute_sums);
}

template <typename T>
GradientTotals sum_gradients(const T* gradients, std::int64_t count) {
  return add<false>(gradients, count, nullptr, nullptr);
}

template <typename T>
void scale_gradients(T* gradients, std::int64_t count, float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) gradients[i] = factor * static_cast<float>(gradients[i]);
}

#define GRADAMP_FOR_TYPE(T)                                                    \
  template GradientTotals add_weights(const T*, std::int64_t, float*, float*); \
  template GradientTotals sum_gradients(const T*, std::int64_t);               \
  template void scale_gradients(T*, std::int64_t, float)
GRADAMP_FOR_TYPE(float);
GRADAMP_FOR_TYPE(Bf16);
GRADAMP_FOR_TYPE(F16);
#undef GRADAMP_FOR_TYPE

}  // namespace gradamp
