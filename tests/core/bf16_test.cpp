// SPDX-License-Identifier: MIT
#include "gradamp/core/bf16.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace gradamp {
namespace {

TEST(Bf16, EveryBf16IsItself) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const float value = from_bf16(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_bf16(to_bf16(value)))) << bits;
    } else {
      EXPECT_EQ(to_bf16(value), bits);
    }
  }
}

TEST(Bf16, RoundsToTheNearestAndTheEvenOfTwo) {
  EXPECT_EQ(from_bf16(to_bf16(1.0f + 1.0f / 256)), 1.0f);
  EXPECT_EQ(from_bf16(to_bf16(1.0f + 3.0f / 256)), 1.0f + 4.0f / 256);
  EXPECT_EQ(from_bf16(to_bf16(1.0f + 1.01f / 256)), 1.0f + 2.0f / 256);
  EXPECT_EQ(from_bf16(to_bf16(-1.0f - 0.99f / 256)), -1.0f);
  EXPECT_EQ(from_bf16(to_bf16(std::numeric_limits<float>::max())), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::bit_cast<float>(0x7f800001u))))) << "its upper half alone is infinity";
}

}  // namespace
}  // namespace gradamp
