// SPDX-License-Identifier: MIT
// CUDA's arithmetic intrinsics. Functions that C has too (expf, fabsf, isfinite) come from <math.h>.
#pragma once

#include <math.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "gradamp/kernels/emulation/multiply_add.h"

namespace gradamp::emulation {

/// Prevents the compiler from merging the value into an FMA, as __fmul_rn and __fadd_rn promise.
template <typename T>
T rounded(T value) {
  asm("" : "+m"(value));
  return value;
}

}  // namespace gradamp::emulation

namespace gradamp::emulated {

// ---- integers ----

inline int __popc(unsigned value) { return std::popcount(value); }
inline int __popcll(unsigned long long value) { return std::popcount(value); }
inline int __clz(int value) { return std::countl_zero(static_cast<unsigned>(value)); }
inline int __clzll(long long value) { return std::countl_zero(static_cast<unsigned long long>(value)); }
/// The index of the lowest set bit, counted from 1; 0 if there is none.
inline int __ffs(int value) { return value == 0 ? 0 : std::countr_zero(static_cast<unsigned>(value)) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<std::int64_t>(a) * b >> 32); }

// ---- the same bits as another type ----

inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline int __float_as_int(float value) { return std::bit_cast<int>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline long long __double_as_longlong(double value) { return std::bit_cast<long long>(value); }
inline double __longlong_as_double(long long bits) { return std::bit_cast<double>(bits); }

// ---- floating point ----

inline float __fadd_rn(float a, float b) { return emulation::rounded(a + b); }
inline float __fsub_rn(float a, float b) { return emulation::rounded(a - b); }
inline float __fmul_rn(float a, float b) { return emulation::rounded(a * b); }
inline float __fmaf_rn(float a, float b, float c) { return emulation::multiply_add(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float value) { return 1.0f / value; }
inline float __fsqrt_rn(float value) { return std::sqrt(value); }
inline float __frsqrt_rn(float value) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(value))); }
inline double __dadd_rn(double a, double b) { return emulation::rounded(a + b); }
inline double __dmul_rn(double a, double b) { return emulation::rounded(a * b); }
inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
inline double rsqrt(double value) { return 1.0 / std::sqrt(value); }
inline float __expf(float value) { return std::exp(value); }
inline float __logf(float value) { return std::log(value); }
inline float __saturatef(float value) { return std::fmin(std::fmax(value, 0.0f), 1.0f); }
inline int __float2int_rn(float value) { return static_cast<int>(std::nearbyint(value)); }
inline int __float2int_rz(float value) { return static_cast<int>(value); }
inline float __int2float_rn(int value) { return static_cast<float>(value); }
inline float __uint2float_rn(unsigned value) { return static_cast<float>(value); }

/// Takes numbers of any types. If one of them is a NaN, returns the other, as CUDA does.
template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  static_assert(std::is_arithmetic_v<T>);
  if constexpr (std::is_floating_point_v<T>)
    return std::fmin(static_cast<T>(a), static_cast<T>(b));
  else
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b);
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  static_assert(std::is_arithmetic_v<T>);
  if constexpr (std::is_floating_point_v<T>)
    return std::fmax(static_cast<T>(a), static_cast<T>(b));
  else
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}

}  // namespace gradamp::emulated
