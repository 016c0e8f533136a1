// SPDX-License-Identifier: MIT
#include "gradamp/core/f16.h"

#include <gtest/gtest.h>

namespace gradamp {
namespace {

TEST(F16, IsItsDefinition) {
  EXPECT_EQ(to_f16_exactly(1.0f), 0x3c00);
  EXPECT_EQ(to_f16_exactly(-1.5f), 0xbe00);
  EXPECT_EQ(to_f16_exactly(0.0f), 0);
  EXPECT_EQ(from_f16(0x3555), 0.333251953125f);
  EXPECT_EQ(from_f16(0xc000), -2.0f);
  EXPECT_EQ(from_f16(0x0001), std::ldexp(1.0f, -24)) << "the smallest subnormal";
  EXPECT_EQ(from_f16(0x7bff), 65504.0f);
  EXPECT_TRUE(std::isinf(from_f16(0x7c00)));
  EXPECT_TRUE(std::isnan(from_f16(0xffff)));
  for (int i = -127; i <= 127; ++i) EXPECT_EQ(from_f16(to_f16_exactly(i / 128.0f)), i / 128.0f);
}

}  // namespace
}  // namespace gradamp
