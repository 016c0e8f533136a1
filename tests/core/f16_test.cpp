// SPDX-License-Identifier: MIT
#include "gradamp/core/f16.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gradamp {
namespace {

TEST(F16, IsItsDefinition) {
  EXPECT_EQ(to_f16(1.0f), 0x3c00);
  EXPECT_EQ(to_f16(-1.5f), 0xbe00);
  EXPECT_EQ(to_f16(0.0f), 0);
  EXPECT_EQ(from_f16(0x3555), 0.333251953125f);
  EXPECT_EQ(from_f16(0xc000), -2.0f);
  EXPECT_EQ(from_f16(0x0001), std::ldexp(1.0f, -24)) << "the smallest subnormal";
  EXPECT_EQ(from_f16(0x7bff), 65504.0f);
  EXPECT_TRUE(std::isinf(from_f16(0x7c00)));
  EXPECT_TRUE(std::isnan(from_f16(0xffff)));
  for (int i = -127; i <= 127; ++i) EXPECT_EQ(from_f16(to_f16(i / 128.0f)), i / 128.0f);
}

/// By the definition of IEEE 754.
float value_of(std::uint32_t bits) {
  const auto exponent = static_cast<int>(bits >> 10 & 0x1f), fraction = static_cast<int>(bits & 0x3ff);
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                        : std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(F16, EveryFiniteF16IsItself) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) == 0x7c00) continue;
    const auto f16 = static_cast<std::uint16_t>(bits);
    ASSERT_EQ(from_f16(f16), value_of(bits)) << bits;
    ASSERT_EQ(std::signbit(from_f16(f16)), (bits & 0x8000) != 0) << bits;
    ASSERT_EQ(to_f16(from_f16(f16)), f16);
  }
}

TEST(F16, RoundsToTheNearestAndTheEvenOfTwo) {
  for (std::uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = value_of(bits), high = value_of(bits + 1), middle = low + (high - low) / 2;
    const auto even = static_cast<std::uint16_t>(bits + bits % 2);
    ASSERT_EQ(to_f16(middle), even) << bits;
    ASSERT_EQ(to_f16(-middle), even | 0x8000) << bits;
    ASSERT_EQ(to_f16(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(to_f16(std::nextafter(middle, high)), bits + 1);
  }
}

TEST(F16, TooLargeIsInfinite) {
  EXPECT_EQ(to_f16(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(to_f16(INFINITY), 0x7c00);
  EXPECT_TRUE(std::isnan(from_f16(to_f16(NAN))));
  EXPECT_TRUE(std::isnan(from_f16(to_f16(-NAN))));
}

}  // namespace
}  // namespace gradamp
