// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/linear.h"

#include <limits>

#include <gtest/gtest.h>

namespace gradamp::GRADAMP_GPU {
namespace {

TEST(LinearRule, ClassifiersAreConvolutions) {
  EXPECT_TRUE(is_computed_as_convolution({128, 512, 10}));
  EXPECT_TRUE(is_computed_as_convolution({512, 2048, 1000}));
}

TEST(LinearRule, IsExactAtTheLimit) {
  EXPECT_TRUE(is_computed_as_convolution({1 << 10, 1 << 10, 1 << 10}));
  EXPECT_FALSE(is_computed_as_convolution({1 << 10, 1 << 10, (1 << 10) + 1}));
  EXPECT_FALSE(is_computed_as_convolution({1 << 10, (1 << 10) + 1, 1 << 10}));
  EXPECT_FALSE(is_computed_as_convolution({(1 << 10) + 1, 1 << 10, 1 << 10}));
  EXPECT_TRUE(is_computed_as_convolution({1, 1, 1 << 30}));
  EXPECT_FALSE(is_computed_as_convolution({1, 1, (1 << 30) + 1}));
}

TEST(LinearRule, DoesNotOverflow) {
  constexpr int kLargest = std::numeric_limits<int>::max();
  EXPECT_FALSE(is_computed_as_convolution({kLargest, kLargest, kLargest}));
  EXPECT_FALSE(is_computed_as_convolution({kLargest, kLargest, 1}));
  EXPECT_FALSE(is_computed_as_convolution({1 << 30, 1, 1 << 30}));
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
