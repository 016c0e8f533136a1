// SPDX-License-Identifier: MIT
// Vectors of floats, by the compiler's vector extensions (GCC and Clang), as wide as the instruction set they are
// compiled for. In memory their elements are float or Bf16, the type T of the functions below; F16 can be loaded.
//
// The sources in this folder are compiled once for each instruction set (kernels/cpu/CMakeLists.txt), and
// kernels/cpu/simd_kernels.h chooses among them when the program runs. All of their code is in the namespace
// GRADAMP_SIMD, for example simd_avx2, so that the linker keeps the versions apart. Inline functions of other
// namespaces would be merged by the linker: a program could then run AVX-512's version of std::something everywhere. So
// what this folder uses of them must be inlined; tests/kernels/cpu/simd_symbols_test.py checks the objects.
//
// -DGRADAMP_SIMD_WIDTH=16 sets the width of the vectors; the tests compare the widths so.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "gradamp/core/bf16.h"
#include "gradamp/core/f16.h"

#if !defined(GRADAMP_SIMD)
#define GRADAMP_SIMD simd_native
#endif

#if defined(__GNUC__) && !defined(__clang__)
// A note that wide vectors are passed to functions in another way with other instruction sets: ours are all inlined.
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace gradamp::GRADAMP_SIMD {

/// Floats per vector register.
#if defined(GRADAMP_SIMD_WIDTH)
inline constexpr int kNativeWidth = GRADAMP_SIMD_WIDTH;
#elif defined(__AVX512F__)
inline constexpr int kNativeWidth = 16;
#elif defined(__AVX__)
inline constexpr int kNativeWidth = 8;
#else
inline constexpr int kNativeWidth = 4;
#endif

template <int kWidth>
struct SimdType {
  using Vector __attribute__((vector_size(kWidth * sizeof(float)))) = float;
  using Words __attribute__((vector_size(kWidth * sizeof(std::uint32_t)))) = std::uint32_t;
  using Halves __attribute__((vector_size(kWidth * sizeof(std::uint16_t)))) = std::uint16_t;
};

/// kWidth floats. Arithmetic with + - * works by element, also with a float on one side.
template <int kWidth>
using Simd = typename SimdType<kWidth>::Vector;

/// At any address.
template <int kWidth>
[[gnu::always_inline]] inline Simd<kWidth> load(const float* from) {
  Simd<kWidth> vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <int kWidth>
[[gnu::always_inline]] inline Simd<kWidth> load(const Bf16* from) {
  typename SimdType<kWidth>::Halves halves;
  std::memcpy(&halves, from, sizeof(halves));
  const auto words = __builtin_convertvector(halves, typename SimdType<kWidth>::Words) << 16;
  Simd<kWidth> vector;
  std::memcpy(&vector, &words, sizeof(vector));
  return vector;
}

/// As from_f16.
template <int kWidth>
[[gnu::always_inline]] inline Simd<kWidth> load(const F16* from) {
  using Words = typename SimdType<kWidth>::Words;
  typename SimdType<kWidth>::Halves halves;
  std::memcpy(&halves, from, sizeof(halves));
  const auto bits = __builtin_convertvector(halves, Words);
  const Words magnitude = (bits & 0x7fffu) << 13, is_finite = (Words)((bits & 0x7c00u) != 0x7c00u);
  const auto finite = (Words)((Simd<kWidth>)magnitude * 0x1p112f);
  return (Simd<kWidth>)((bits & 0x8000u) << 16 | (finite & is_finite) | ((0x7f800000u | magnitude) & ~is_finite));
}

template <int kWidth>
[[gnu::always_inline]] inline void store(float* to, const Simd<kWidth>& vector) {
  std::memcpy(to, &vector, sizeof(vector));
}

/// Rounded as to_bf16 does; only the upper halves of the words count.
template <int kWidth>
[[gnu::always_inline]] inline typename SimdType<kWidth>::Words bf16_words(const Simd<kWidth>& vector) {
  using Words = typename SimdType<kWidth>::Words;
  Words bits;
  std::memcpy(&bits, &vector, sizeof(bits));
  const Words is_nan = (Words)(vector != vector);
  const Words rounded = bits + 0x7fffu + ((bits >> 16) & 1u), quiet = bits | 0x400000u;
  return (quiet & is_nan) | (rounded & ~is_nan);
}

template <int kWidth>
[[gnu::always_inline]] inline void store(Bf16* to, const Simd<kWidth>& vector) {
  const auto halves = __builtin_convertvector(bf16_words<kWidth>(vector) >> 16, typename SimdType<kWidth>::Halves);
  std::memcpy(to, &halves, sizeof(halves));
}

/// What a load gives after a store to memory of type T.
template <int kWidth, typename T>
[[gnu::always_inline]] inline Simd<kWidth> as_stored(const Simd<kWidth>& vector) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return (Simd<kWidth>)(bf16_words<kWidth>(vector) & 0xffff0000u);
  } else {
    return vector;
  }
}

/// The first `count` elements, or all if the vector has fewer.
template <int kWidth, typename T>
[[gnu::always_inline]] inline void store_first(T* to, const Simd<kWidth>& vector, std::int64_t count) {
  if (count >= kWidth) {
    store<kWidth>(to, vector);
  } else {
    T all[kWidth];
    store<kWidth>(all, vector);
    std::memcpy(to, all, static_cast<std::size_t>(count) * sizeof(T));
  }
}

/// a * b + c, with one rounding where the instruction set has fused multiply-adds.
[[gnu::always_inline]] inline float multiply_add(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

}  // namespace gradamp::GRADAMP_SIMD
