// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/linear.h"

#include <limits>

#include <gtest/gtest.h>

namespace gradamp::GRADAMP_GPU {
namespace {

TEST(LinearRule, ClassifiersForCifarAreSmall) {
  EXPECT_EQ(linear_method({128, 512, 10}), LinearMethod::kSmall);
  EXPECT_EQ(linear_method({128, 512, 100}), LinearMethod::kSmall);
  EXPECT_EQ(linear_method({1, 1, 1}), LinearMethod::kSmall);
}

TEST(LinearRule, LargeClassifiersAreConvolutions) {
  EXPECT_EQ(linear_method({512, 2048, 1000}), LinearMethod::kConvolution);
}

TEST(LinearRule, IsExactAtTheLimits) {
  EXPECT_EQ(linear_method({1 << 8, 1 << 8, 1 << 8}), LinearMethod::kSmall);
  EXPECT_EQ(linear_method({1 << 8, 1 << 8, (1 << 8) + 1}), LinearMethod::kConvolution);
  EXPECT_EQ(linear_method({65535, 8, 8}), LinearMethod::kSmall);
  EXPECT_EQ(linear_method({65536, 8, 8}), LinearMethod::kConvolution) << "a grid has at most 65535 blocks in y";
  EXPECT_EQ(linear_method({8, 8, 65535}), LinearMethod::kSmall);
  EXPECT_EQ(linear_method({8, 8, 65536}), LinearMethod::kConvolution);
  EXPECT_EQ(linear_method({1 << 10, 1 << 10, 1 << 10}), LinearMethod::kConvolution);
  EXPECT_EQ(linear_method({1 << 10, 1 << 10, (1 << 10) + 1}), LinearMethod::kLibrary);
  EXPECT_EQ(linear_method({1 << 10, (1 << 10) + 1, 1 << 10}), LinearMethod::kLibrary);
  EXPECT_EQ(linear_method({(1 << 10) + 1, 1 << 10, 1 << 10}), LinearMethod::kLibrary);
  EXPECT_EQ(linear_method({1, 1, 1 << 30}), LinearMethod::kConvolution);
  EXPECT_EQ(linear_method({1, 1, (1 << 30) + 1}), LinearMethod::kLibrary);
}

TEST(LinearRule, DoesNotOverflow) {
  constexpr int kLargest = std::numeric_limits<int>::max();
  EXPECT_EQ(linear_method({kLargest, kLargest, kLargest}), LinearMethod::kLibrary);
  EXPECT_EQ(linear_method({kLargest, kLargest, 1}), LinearMethod::kLibrary);
  EXPECT_EQ(linear_method({1 << 30, 1, 1 << 30}), LinearMethod::kLibrary);
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
