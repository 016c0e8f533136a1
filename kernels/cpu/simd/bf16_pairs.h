// SPDX-License-Identifier: MIT
// The operands of the direct products (kernels/cpu/simd/register_kernel.h): floats, or pairs of bf16 where the
// processor multiplies these, twice as many in an instruction.
//
// That instruction, VDPBF16PS of AVX512-BF16, adds two products to each sum:
//
//                  31        16 15         0
//     word of a    |  first    |  second   |
//     word of b    |  first    |  second   |      sum += first of a * first of b, then second of a * second of b
//
// Each addition is a fused multiply-add with a rounding of its own, upper halves first (Intel, "Intel 64 and IA-32
// Architectures Software Developer's Manual", volume 2, VDPBF16PS). So in pairs (first, second) of adjacent terms a sum
// has the bits that it has in f32, where terms are added one by one. Only numbers below 2^-126 count as zeros.
// (usable_instruction_sets() tries the order out before the instruction is used.)
//
// -DGRADAMP_SIMD_PAIRS compiles the direct convolutions of bf16 images, and no others, with these pairs. Without the
// instruction floats give the same sums, for the tests.
#pragma once

#include "gradamp/kernels/cpu/simd/simd.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace gradamp::GRADAMP_SIMD {

#if defined(GRADAMP_SIMD_PAIRS)
inline constexpr bool kMultipliesPairs = true;
#else
inline constexpr bool kMultipliesPairs = false;
#endif

/// Two adjacent terms of a sum; in the order of a processor whose first byte is the lowest.
struct alignas(std::uint32_t) Bf16Pair {
  Bf16 second, first;
};

/// What is multiplied if images are of type T.
template <typename T>
using Operand = std::conditional_t<kMultipliesPairs && std::is_same_v<T, Bf16>, Bf16Pair, float>;

/// Terms of a sum in an operand.
template <typename E>
inline constexpr std::int64_t kTerms = std::is_same_v<E, Bf16Pair> ? 2 : 1;

/// Term `number` of the sum whose elements begin at `element`, each `stride` after the one before.
[[gnu::always_inline]] inline float& term_of(float* element, std::int64_t stride, std::int64_t number) {
  return element[number * stride];
}
[[gnu::always_inline]] inline Bf16& term_of(Bf16Pair* element, std::int64_t stride, std::int64_t number) {
  Bf16Pair& pair = element[number / 2 * stride];
  return number % 2 == 0 ? pair.first : pair.second;
}

template <int kWidth>
[[gnu::always_inline]] inline typename SimdType<kWidth>::Words load(const Bf16Pair* from) {
  typename SimdType<kWidth>::Words words;
  std::memcpy(&words, from, sizeof(words));
  return words;
}

/// sum += a * b.
template <int kWidth>
[[gnu::always_inline]] inline void add_product(Simd<kWidth>& sum, float a, const Simd<kWidth>& b) {
  sum += a * b;
}

template <int kWidth>
[[gnu::always_inline]] inline void add_product(Simd<kWidth>& sum, const Bf16Pair& a,
                                               const typename SimdType<kWidth>::Words& b) {
  std::uint32_t word;
  std::memcpy(&word, &a, sizeof(word));
  const auto spread = typename SimdType<kWidth>::Words{} + word;
#if defined(__AVX512BF16__)
  static_assert(kWidth == 16);
  sum = (Simd<kWidth>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)spread, (__m512bh)b);
#else
  sum += (Simd<kWidth>)(spread & 0xffff0000u) * (Simd<kWidth>)(b & 0xffff0000u);
  sum += (Simd<kWidth>)(spread << 16) * (Simd<kWidth>)(b << 16);
#endif
}

/// Stores numbers that are bf16 already if E is.
template <int kWidth>
[[gnu::always_inline]] inline void store_exact(float* to, const Simd<kWidth>& vector) {
  store<kWidth>(to, vector);
}

template <int kWidth>
[[gnu::always_inline]] inline typename SimdType<kWidth>::Halves upper_halves(const Simd<kWidth>& vector) {
  return __builtin_convertvector((typename SimdType<kWidth>::Words)vector >> 16, typename SimdType<kWidth>::Halves);
}

template <int kWidth>
[[gnu::always_inline]] inline void store_exact(Bf16* to, const Simd<kWidth>& vector) {
  const auto halves = upper_halves<kWidth>(vector);
  std::memcpy(to, &halves, sizeof(halves));
}

/// kWidth / 2 pairs.
template <int kWidth>
[[gnu::always_inline]] inline void store_exact(Bf16Pair* to, const Simd<kWidth>& vector) {
  const auto halves = upper_halves<kWidth>(vector);
  typename SimdType<kWidth / 2>::Words words;  // with the halves of each pair in the wrong order
  std::memcpy(&words, &halves, sizeof(words));
  words = words << 16 | words >> 16;
  std::memcpy(to, &words, sizeof(words));
}

/// Makes pairs of two lines of bf16, whose elements become the pairs' first and second ones, in place: `to` is the
/// address of the first line, and of the line of pairs.
template <int kWidth, int kCount>
[[gnu::always_inline]] inline void pair_lines(Bf16Pair* to) {
  using Words = typename SimdType<kWidth>::Words;
  Words words[kCount / kWidth];
  const auto* const lines = reinterpret_cast<const Bf16*>(to);
#pragma GCC unroll 4
  for (int i = 0; i < kCount / kWidth; ++i)
    words[i] = (Words)load<kWidth>(lines + i * kWidth) | (Words)load<kWidth>(lines + kCount + i * kWidth) >> 16;
#pragma GCC unroll 4
  for (int i = 0; i < kCount / kWidth; ++i) std::memcpy(to + i * kWidth, &words[i], sizeof(words[i]));
}

}  // namespace gradamp::GRADAMP_SIMD
