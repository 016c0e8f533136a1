// SPDX-License-Identifier: MIT
// What softmax promises beside its numbers, which conformance_test.cpp tests.
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

class SoftmaxTest : public DeviceTest {
 protected:
  std::vector<float> softmax_of(const Shape& shape, const std::vector<float>& x) {
    return softmax(Variable(tensor_of(backend(), shape, x))).value().to_host<float>();
  }
};

TEST_P(SoftmaxTest, OfEqualNumbersIsTheirShare) {
  for (const float x : {0.0f, -3e38f, 3e38f, 88.0f})
    EXPECT_EQ(softmax_of({3, 4}, std::vector<float>(12, x)), std::vector<float>(12, 0.25f)) << x;
}

TEST_P(SoftmaxTest, DoesNotOverflow) {
  EXPECT_EQ(softmax_of({2, 3}, {1000, 0, -1000, -3e38f, 3e38f, 0}), (std::vector<float>{1, 0, 0, 0, 1, 0}));
}

// A mask of scores is -infinity.
TEST_P(SoftmaxTest, ANegativeInfinityHasNoShare) {
  const float none = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(softmax_of({5}, {none, 2, 2, none, none}), (std::vector<float>{0, 0.5f, 0.5f, 0, 0}));
}

TEST_P(SoftmaxTest, ANaNIsInItsWholeRowOnly) {
  for (const std::int64_t channels : {3, 70}) {
    std::vector<float> x = normal_values(3 * channels, 1);
    x[static_cast<std::size_t>(2 * channels - 1)] = NAN;
    const std::vector<float> y = softmax_of({3, channels}, x);
    for (std::int64_t i = 0; i < 3 * channels; ++i)
      EXPECT_EQ(std::isnan(y[static_cast<std::size_t>(i)]), i / channels == 1) << i << " of rows of " << channels;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, SoftmaxTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
