// SPDX-License-Identifier: MIT
// The sums over gradients in vectors: compiled once for each instruction set (kernels/cpu/simd/simd.h).
//
// Element i is always added in lane i % 8, so that the bits do not depend on the width of the vectors; in double the
// square of a float is exact, so that fused multiply-adds do not change them either.
#include <cstring>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#include "gradamp/kernels/cpu/simd/simd.h"
#include "gradamp/kernels/statistics/gradient_sums.h"

namespace gradamp::GRADAMP_SIMD {
namespace {

constexpr int kLanes = 8;
constexpr int kWidth = kNativeWidth < kLanes ? kNativeWidth : kLanes;
constexpr int kStep = 2 * kLanes;  // elements: the sums of a cache line
/// How far the sums are fetched ahead of the addition, in elements: the processor's own prefetching ends at every page.
constexpr int kAhead = 256;
/// Elements that are added at once, a multiple of kLanes: so the counts of a lane fit 32 bits for a neuron of any
/// length.
constexpr std::int64_t kChunk = 1 << 15;

using Floats = Simd<kWidth>;
using Words = SimdType<kWidth>::Words;
using Integers __attribute__((vector_size(kWidth * sizeof(std::int32_t)))) = std::int32_t;
using HalfFloats __attribute__((vector_size(kWidth / 2 * sizeof(float)))) = float;
using Doubles __attribute__((vector_size(kWidth / 2 * sizeof(double)))) = double;

/// Exact.
[[gnu::always_inline]] inline Doubles widened(const HalfFloats& values) {
#if defined(__AVX__)
  return (Doubles)_mm256_cvtps_pd((__m128)values);  // GCC 12 makes of __builtin_convertvector several conversions
#else
  return __builtin_convertvector(values, Doubles);
#endif
}

/// The sums of kLanes lanes, in one vector or two.
struct Lanes {
  static constexpr int kParts = kLanes / kWidth;
  Doubles signed_sum[2 * kParts] = {}, absolute_sum[2 * kParts] = {}, square_sum[2 * kParts] = {};
  Integers maximum[kParts] = {}, zeros[kParts] = {}, finite[kParts] = {};  // counted downwards

  /// Adds kLanes gradients; with kKeep their sums into memory, else into signed_sum and absolute_sum.
  template <bool kKeep, typename T>
  [[gnu::always_inline]] void add(const T* gradients, float* signed_sums, float* absolute_sums) {
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part) {
      const int at = part * kWidth;
      const Floats given = load<kWidth>(gradients + at);
      Words bits;
      std::memcpy(&bits, &given, sizeof bits);
      const Words magnitude_bits = bits & 0x7fffffffu;
      const Integers is_finite = (Integers)magnitude_bits < 0x7f800000;
      const auto magnitude = (Floats)(magnitude_bits & (Words)is_finite);
      const auto gradient = (Floats)(bits & (Words)is_finite);
      if constexpr (kKeep) {
        store<kWidth>(signed_sums + at, load<kWidth>(signed_sums + at) + gradient);
        store<kWidth>(absolute_sums + at, load<kWidth>(absolute_sums + at) + magnitude);
      }
      const auto larger = (Integers)magnitude;  // floats from 0 on are in the order of their bits
      maximum[part] = larger > maximum[part] ? larger : maximum[part];
      zeros[part] += (Integers)(magnitude_bits == 0u);
      finite[part] += is_finite;
      HalfFloats halves[2], magnitudes[2];
      std::memcpy(halves, &gradient, sizeof halves);
      std::memcpy(magnitudes, &magnitude, sizeof magnitudes);
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Doubles wide = widened(halves[half]);
        square_sum[2 * part + half] += wide * wide;
        if constexpr (!kKeep) {
          signed_sum[2 * part + half] += wide;
          absolute_sum[2 * part + half] += widened(magnitudes[half]);
        }
      }
    }
  }

  static double sum_of(const Doubles (&values)[2 * kParts]) {
    double lanes[kLanes], sum = 0;
    std::memcpy(lanes, values, sizeof lanes);
    for (const double lane : lanes) sum += lane;
    return sum;
  }

  /// The totals of `count` gradients, which were filled up to `added` by zeros.
  GradientTotals totals(std::int64_t count, std::int64_t added) const {
    GradientTotals result;
    result.signed_sum = sum_of(signed_sum);
    result.absolute_sum = sum_of(absolute_sum);
    result.square_sum = sum_of(square_sum);
    std::int32_t largest[kLanes], zero[kLanes], is_finite[kLanes];
    std::memcpy(largest, maximum, sizeof largest);
    std::memcpy(zero, zeros, sizeof zero);
    std::memcpy(is_finite, finite, sizeof is_finite);
    std::int32_t top = 0;
    result.zeros = count - added;
    result.not_finite = added;
    for (int lane = 0; lane < kLanes; ++lane) {
      top = largest[lane] > top ? largest[lane] : top;
      result.zeros -= zero[lane];
      result.not_finite += is_finite[lane];
    }
    float maximum_of_all;
    std::memcpy(&maximum_of_all, &top, sizeof maximum_of_all);
    result.maximum = static_cast<double>(maximum_of_all);
    return result;
  }
};

template <bool kKeep, typename T>
GradientTotals add_chunk(const T* gradients, std::int64_t count, float* signed_sums, float* absolute_sums) {
  Lanes lanes;
  std::int64_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    __builtin_prefetch(gradients + i + kAhead);
    if constexpr (kKeep) {
      __builtin_prefetch(signed_sums + i + kAhead, 1);
      __builtin_prefetch(absolute_sums + i + kAhead, 1);
    }
    for (std::int64_t at = i; at < i + kStep; at += kLanes)
      lanes.add<kKeep>(gradients + at, kKeep ? signed_sums + at : nullptr, kKeep ? absolute_sums + at : nullptr);
  }
  for (; i < count; i += kLanes) {
    const std::int64_t left = count - i < kLanes ? count - i : kLanes;
    const auto size = static_cast<std::size_t>(left);
    T last[kLanes] = {};
    float signed_last[kLanes] = {}, absolute_last[kLanes] = {};
    std::memcpy(last, gradients + i, size * sizeof(T));
    if constexpr (kKeep) {
      std::memcpy(signed_last, signed_sums + i, size * sizeof(float));
      std::memcpy(absolute_last, absolute_sums + i, size * sizeof(float));
    }
    lanes.add<kKeep>(last, signed_last, absolute_last);
    if constexpr (kKeep) {
      std::memcpy(signed_sums + i, signed_last, size * sizeof(float));
      std::memcpy(absolute_sums + i, absolute_last, size * sizeof(float));
    }
  }
  return lanes.totals(count, (count + kLanes - 1) / kLanes * kLanes);
}

template <bool kKeep, typename T>
GradientTotals add(const T* gradients, std::int64_t count, float* signed_sums, float* absolute_sums) {
  GradientTotals totals;
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const std::int64_t length = count - begin < kChunk ? count - begin : kChunk;
    totals += add_chunk<kKeep>(gradients + begin, length, kKeep ? signed_sums + begin : nullptr,
                               kKeep ? absolute_sums + begin : nullptr);
  }
  return totals;
}

template <typename T>
constexpr GradientSumKernels<T> kKernelsOf = {add<true, T>, [](const T* gradients, std::int64_t count) {
                                                return add<false, T>(gradients, count, nullptr, nullptr);
                                              }};

}  // namespace

extern const GradientKernels kGradientKernels;
const GradientKernels kGradientKernels = {.f32 = kKernelsOf<float>, .bf16 = kKernelsOf<Bf16>, .f16 = kKernelsOf<F16>};

}  // namespace gradamp::GRADAMP_SIMD
