// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/divisor.h"

#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace gradamp::GRADAMP_GPU {
namespace {

TEST(Divisor, DividesEverythingBelow2To31) {
  constexpr int kLargest = std::numeric_limits<int>::max();
  std::vector<int> divisors = {kLargest, kLargest - 1, 1 << 30, (1 << 30) + 1, (1 << 30) - 1, 65'535, 65'536, 65'537};
  for (int divisor = 1; divisor <= 1100; ++divisor) divisors.push_back(divisor);
  for (const int divisor : divisors) {
    const Divisor by(divisor);
    std::vector<int> values = {0, 1, divisor - 1, divisor, kLargest - 1, kLargest};
    for (std::int64_t multiple = divisor; multiple < kLargest;
         multiple += kLargest / 50 / divisor * divisor + divisor) {
      values.push_back(static_cast<int>(multiple) - 1);
      values.push_back(static_cast<int>(multiple));
    }
    values.push_back(kLargest / divisor * divisor);
    values.push_back(kLargest / divisor * divisor - 1);
    for (const int value : values) {
      const auto [quotient, remainder] = by.divide(value);
      ASSERT_EQ(quotient, value / divisor) << value << " / " << divisor;
      ASSERT_EQ(remainder, value % divisor) << value << " % " << divisor;
    }
  }
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
