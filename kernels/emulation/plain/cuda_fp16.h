// SPDX-License-Identifier: MIT
// CUDA's half and half2: values are rounded to f16 after every operation, as on a GPU.
#pragma once

#include <bit>
#include <cmath>

#include "gradamp/core/f16.h"
#include "gradamp/kernels/emulation/plain/plain.h"

namespace gradamp::emulated {

/// Objects in shared memory are never constructed, so the default constructor must do nothing.
struct __half {
  std::uint16_t bits;

  __half() = default;
  __half(float value) : bits(to_f16(value)) {}
  __half(double value) : __half(static_cast<float>(value)) {}
  __half(int value) : __half(static_cast<float>(value)) {}
  operator float() const { return from_f16(bits); }

  __half& operator+=(__half other) { return *this = __half(float{*this} + float{other}); }
  __half& operator-=(__half other) { return *this = __half(float{*this} - float{other}); }
  __half& operator*=(__half other) { return *this = __half(float{*this} * float{other}); }
  __half& operator/=(__half other) { return *this = __half(float{*this} / float{other}); }
};
using half = __half;

inline __half operator+(__half a, __half b) { return a += b; }
inline __half operator-(__half a, __half b) { return a -= b; }
inline __half operator*(__half a, __half b) { return a *= b; }
inline __half operator/(__half a, __half b) { return a /= b; }
inline __half operator-(__half a) { return __half(-float{a}); }
inline bool operator<(__half a, __half b) { return float{a} < float{b}; }
inline bool operator>(__half a, __half b) { return float{a} > float{b}; }
inline bool operator<=(__half a, __half b) { return float{a} <= float{b}; }
inline bool operator>=(__half a, __half b) { return float{a} >= float{b}; }
inline bool operator==(__half a, __half b) { return float{a} == float{b}; }

struct alignas(4) __half2 {
  __half x, y;
};
using half2 = __half2;

inline float __half2float(__half value) { return value; }
inline __half __float2half(float value) { return __half(value); }
inline __half __float2half_rn(float value) { return __half(value); }
inline __half __hadd(__half a, __half b) { return a + b; }
inline __half __hsub(__half a, __half b) { return a - b; }
inline __half __hmul(__half a, __half b) { return a * b; }
inline __half __hdiv(__half a, __half b) { return a / b; }
/// One rounding: in double the product of two f16 is exact, and the sum has 53 bits.
inline __half __hfma(__half a, __half b, __half c) {
  return __half(static_cast<float>(double{float{a}} * double{float{b}} + double{float{c}}));
}
inline __half __hmax(__half a, __half b) { return __half(std::fmax(float{a}, float{b})); }
inline __half __hmin(__half a, __half b) { return __half(std::fmin(float{a}, float{b})); }
inline __half __hneg(__half value) { return -value; }
inline __half __habs(__half value) { return __half(std::fabs(float{value})); }
inline bool __hgt(__half a, __half b) { return a > b; }
inline bool __hge(__half a, __half b) { return a >= b; }
inline bool __hlt(__half a, __half b) { return a < b; }
inline bool __hle(__half a, __half b) { return a <= b; }
inline bool __heq(__half a, __half b) { return a == b; }
inline bool __hne(__half a, __half b) { return !(a == b); }
inline bool __hisnan(__half value) { return std::isnan(float{value}); }
inline int __half2int_rn(__half value) { return static_cast<int>(std::nearbyint(float{value})); }
inline __half __int2half_rn(int value) { return __half(value); }
inline __half __ushort_as_half(unsigned short bits) { return std::bit_cast<__half>(bits); }
inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half hlog(__half value) { return __half(std::log(float{value})); }
inline __half hrsqrt(__half value) { return __half(1.0f / std::sqrt(float{value})); }
inline __half htanh(__half value) { return __half(std::tanh(float{value})); }
inline __half hexp(__half value) { return __half(std::exp(float{value})); }
inline __half hsqrt(__half value) { return __half(std::sqrt(float{value})); }

inline __half2 make_half2(__half x, __half y) { return {x, y}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __float2half2_rn(float value) { return {__half(value), __half(value)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline float2 __half22float2(__half2 value) { return {value.x, value.y}; }
inline __half __low2half(__half2 value) { return value.x; }
inline __half __high2half(__half2 value) { return value.y; }
inline float __low2float(__half2 value) { return value.x; }
inline float __high2float(__half2 value) { return value.y; }
inline __half2 __hadd2(__half2 a, __half2 b) { return {a.x + b.x, a.y + b.y}; }
inline __half2 __hsub2(__half2 a, __half2 b) { return {a.x - b.x, a.y - b.y}; }
inline __half2 __hmul2(__half2 a, __half2 b) { return {a.x * b.x, a.y * b.y}; }
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }
inline __half2 __half2half2(__half value) { return {value, value}; }
inline __half2 __float22half2_rn(float2 value) { return __floats2half2_rn(value.x, value.y); }
inline __half2 __hmax2(__half2 a, __half2 b) { return {__hmax(a.x, b.x), __hmax(a.y, b.y)}; }
inline __half2 __hmin2(__half2 a, __half2 b) { return {__hmin(a.x, b.x), __hmin(a.y, b.y)}; }
inline __half2 h2exp(__half2 value) { return {hexp(value.x), hexp(value.y)}; }
inline __half2 operator+(__half2 a, __half2 b) { return __hadd2(a, b); }
inline __half2 operator-(__half2 a, __half2 b) { return __hsub2(a, b); }
inline __half2 operator*(__half2 a, __half2 b) { return __hmul2(a, b); }

}  // namespace gradamp::emulated
