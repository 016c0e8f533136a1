// SPDX-License-Identifier: MIT
// The emulator's math intrinsics, called by the host. intrinsics_test.cpp runs those that our kernels use on a GPU too.
#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "gradamp/kernels/emulation/emulation.h"

namespace gradamp::emulated {
namespace {

TEST(MathIntrinsics, CountBits) {
  EXPECT_EQ(__popcll(0xFF00000000000001ULL), 9);
  EXPECT_EQ(__popcll(0), 0);
  EXPECT_EQ(__clzll(1), 63);
  EXPECT_EQ(__clzll(0), 64);
  EXPECT_EQ(__clzll(-1), 0);
}

TEST(MathIntrinsics, ReinterpretBits) {
  EXPECT_EQ(__int_as_float(0x3F800000), 1.0f);
  EXPECT_EQ(__double_as_longlong(1.0), 0x3FF0000000000000LL);
  EXPECT_EQ(__longlong_as_double(0x4000000000000000LL), 2.0);
}

// 1 + 2^-24 is halfway between two floats and rounds to the even one, 1; 1 + 3 * 2^-24 rounds up to 1 + 2^-22.
TEST(MathIntrinsics, RoundToNearestEven) {
  const float half_ulp = std::ldexp(1.0f, -24);
  EXPECT_EQ(__fadd_rn(1.0f, half_ulp), 1.0f);
  EXPECT_EQ(__fadd_rn(1.0f, 3 * half_ulp), 1.0f + std::ldexp(1.0f, -22));
  EXPECT_EQ(__fsub_rn(1.0f, half_ulp), 1.0f - half_ulp);
  EXPECT_EQ(__fdiv_rn(1.0f, 3.0f), std::bit_cast<float>(0x3EAAAAAB));
  EXPECT_EQ(__fdividef(6.0f, 3.0f), 2.0f);
  EXPECT_EQ(__fsqrt_rn(2.0f), std::bit_cast<float>(0x3FB504F3));
  EXPECT_EQ(__frsqrt_rn(2.0f), std::bit_cast<float>(0x3F3504F3));
  EXPECT_EQ(__dadd_rn(1.0, std::ldexp(1.0, -53)), 1.0);
  EXPECT_EQ(__dmul_rn(1.0 + std::ldexp(1.0, -52), 1.0 - std::ldexp(1.0, -53)), 1.0);
  EXPECT_EQ(rsqrt(4.0), 0.5);
}

// (1 + e)(1 - e) - 1 is -e^2 if it is contracted to an FMA, and 0 if the product is rounded first.
TEST(MathIntrinsics, ProductAndSumAreNotContracted) {
  const double e = std::ldexp(1.0, -30);
  EXPECT_EQ(__dadd_rn(__dmul_rn(1 + e, 1 - e), -1.0), 0.0);
  const float f = std::ldexp(1.0f, -13);
  EXPECT_EQ(__fsub_rn(__fmul_rn(1 + f, 1 - f), 1.0f), 0.0f);
}

TEST(MathIntrinsics, Functions) {
  EXPECT_NEAR(__logf(10.0f), 2.302585093, 1e-6);
  EXPECT_EQ(__saturatef(-0.5f), 0.0f);
  EXPECT_EQ(__saturatef(0.25f), 0.25f);
  EXPECT_EQ(__saturatef(1.5f), 1.0f);
  EXPECT_EQ(__saturatef(std::numeric_limits<float>::quiet_NaN()), 0.0f);
}

}  // namespace
}  // namespace gradamp::emulated
