// SPDX-License-Identifier: MIT
// Vectors of floats, by the compiler's vector extensions (GCC and Clang), as wide as the instruction set they are
// compiled for.
//
// Everything whose machine code depends on the instruction set lives in the namespace GRADAMP_SIMD. A source that is
// compiled a second time for other instructions is given another name for it (-DGRADAMP_SIMD=simd_avx2), so that the
// linker keeps both versions apart. -DGRADAMP_SIMD_WIDTH=16 also sets the width; the tests compare the widths so.
#pragma once

#include <cstdint>
#include <cstring>

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
[[gnu::always_inline]] inline void store(float* to, const Simd<kWidth>& vector) {
  std::memcpy(to, &vector, sizeof(vector));
}

/// The first `count` floats, or all if the vector has fewer.
template <int kWidth>
[[gnu::always_inline]] inline void store_first(float* to, const Simd<kWidth>& vector, std::int64_t count) {
  if (count >= kWidth) {
    store<kWidth>(to, vector);
  } else {
    std::memcpy(to, &vector, static_cast<std::size_t>(count) * sizeof(float));
  }
}

}  // namespace gradamp::GRADAMP_SIMD
