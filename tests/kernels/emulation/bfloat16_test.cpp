// SPDX-License-Identifier: MIT
// bfloat16 against its definition: the upper half of a float32, rounded to the nearest, ties to even.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include <gtest/gtest.h>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {
namespace {

float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

// The value of finite bfloat16 bits, from sign, exponent and fraction. One step beyond the largest is 2^128.
double value_of(std::uint32_t bits) {
  const std::uint32_t exponent = bits >> 7 & 0xFF, fraction = bits & 0x7F;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -133) : std::ldexp(fraction + 128, static_cast<int>(exponent) - 134);
  return bits >> 15 ? -magnitude : magnitude;
}

// The nearer of the two bfloat16 around a finite value; ties to even.
std::uint32_t nearest(float value) {
  const std::uint32_t down = bits_of(value) >> 16, up = down + 1;  // towards zero, away from zero
  const double below = std::abs(value - value_of(down)), above = std::abs(value - value_of(up));
  if (below != above) return below < above ? down : up;
  return down % 2 == 0 ? down : up;
}

TEST(BFloat16, EveryOneHasItsFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bf16 value = __ushort_as_bfloat16(static_cast<unsigned short>(bits));
    ASSERT_EQ(bits_of(__bfloat162float(value)), bits << 16) << bits;
    ASSERT_EQ(__bfloat16_as_ushort(value), bits);
    const bool finite = (bits >> 7 & 0xFF) != 0xFF;
    if (finite) {
      ASSERT_EQ(__bfloat162float(value), value_of(bits)) << bits;
    }
  }
}

// Every upper half, with the lower halves at which rounding changes, and their neighbors.
TEST(BFloat16, RoundsEveryFloatToTheNearest) {
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const std::uint32_t lower : {0x0000u, 0x0001u, 0x3FFFu, 0x7FFFu, 0x8000u, 0x8001u, 0xC123u, 0xFFFFu}) {
      const float value = float_of(upper << 16 | lower);
      const std::uint32_t result = __bfloat16_as_ushort(__float2bfloat16(value));
      ASSERT_EQ(__bfloat16_as_ushort(__float2bfloat16_rn(value)), result);
      ASSERT_EQ(__bfloat16_as_ushort(bf16(value)), result);
      if (std::isnan(value))
        ASSERT_EQ(result, 0x7FFFu) << upper << " " << lower;
      else if (std::isinf(value))
        ASSERT_EQ(result, upper);
      else
        ASSERT_EQ(result, nearest(value)) << upper << " " << lower;
    }
  }
}

TEST(BFloat16, LargeFloatsBecomeInfinite) {
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(3.3961775e38f)), 0x7F80u);   // halfway to 2^128
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(3.3961773e38f)), 0x7F7Fu);   // a bit below
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(-3.4028235e38f)), 0xFF80u);  // the largest float
}

TEST(BFloat16, PairsKeepTheirOrder) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(1.5f, -3.0f);
  std::uint32_t word = 0;
  std::memcpy(&word, &pair, sizeof word);
  EXPECT_EQ(word, 0xC0403FC0u);  // the first is in the low half
  EXPECT_EQ(__low2float(pair), 1.5f);
  EXPECT_EQ(__high2float(pair), -3.0f);
  const float2 floats = __bfloat1622float2(pair);
  EXPECT_EQ(floats.x, 1.5f);
  EXPECT_EQ(floats.y, -3.0f);
  const __nv_bfloat162 twice = __halves2bfloat162(pair.y, pair.y);
  EXPECT_EQ(__low2float(twice), -3.0f);
  EXPECT_EQ(__high2float(twice), -3.0f);
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
