// SPDX-License-Identifier: MIT
// Dropout's mask as a random variable; its exact values are in the conformance table.
#include <cmath>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

constexpr std::int64_t kElements = 100'003;

class DropoutTest : public DeviceTest {
 protected:
  /// Dropout of a tensor of ones.
  std::vector<float> draw(const DropoutParams& params, const StepNumbers& numbers, std::int64_t count = kElements) {
    const Variable x(tensor_of(backend(), {count}, std::vector<float>(static_cast<std::size_t>(count), 1.0f)));
    return dropout(x, params, make_step_state(backend(), numbers)).value().to_host<float>();
  }
};

double share_of_equal(const std::vector<float>& a, const std::vector<float>& b) {
  std::int64_t equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
  return static_cast<double>(equal) / static_cast<double>(a.size());
}

TEST_P(DropoutTest, DropsTheShareAskedForAndScalesTheRest) {
  for (const float probability : {0.1f, 0.3f, 0.5f, 0.9f}) {
    const std::vector<float> y = draw({probability, 0}, {});
    std::int64_t dropped = 0;
    for (const float value : y) {
      if (value == 0) {
        ++dropped;
      } else {
        ASSERT_FLOAT_EQ(value, 1 / (1 - probability));
      }
    }
    const double p = static_cast<double>(probability), n = static_cast<double>(kElements);
    EXPECT_NEAR(static_cast<double>(dropped), p * n, 5 * std::sqrt(p * (1 - p) * n));
  }
}

TEST_P(DropoutTest, TheMaskFollowsFromSeedStepAndSubstreamAlone) {
  const DropoutParams params{0.5f, 3};
  const std::vector<float> y = draw(params, {.seed = 8, .step = 4});
  EXPECT_EQ(draw(params, {.seed = 8, .step = 4}), y);
  EXPECT_EQ(draw(params, {.seed = 8, .epoch = 9, .step = 4, .position = 77}), y);
  // Independent masks agree in half of the elements.
  EXPECT_NEAR(share_of_equal(draw(params, {.seed = 8, .step = 5}), y), 0.5, 0.01);
  EXPECT_NEAR(share_of_equal(draw(params, {.seed = 9, .step = 4}), y), 0.5, 0.01);
  EXPECT_NEAR(share_of_equal(draw({0.5f, 4}, {.seed = 8, .step = 4}), y), 0.5, 0.01);
}

TEST_P(DropoutTest, BackwardDrawsTheMaskOfForward) {
  const Variable x = parameter_of(backend(), {kElements}, std::vector<float>(kElements, 1.0f));
  const Variable y = dropout(x, {0.3f, 3}, make_step_state(backend(), {.step = 6}));
  y.backward(tensor_of(backend(), {kElements}, std::vector<float>(kElements, 1.0f)));
  EXPECT_EQ(x.grad().to_host<float>(), y.value().to_host<float>());
}

TEST_P(DropoutTest, ADroppedNaNIsZero) {
  const Variable x(tensor_of(backend(), {1000}, std::vector<float>(1000, NAN)));
  const std::vector<float> ones = draw({0.5f, 0}, {}, 1000);
  const std::vector<float> y = dropout(x, {0.5f, 0}, make_step_state(backend())).value().to_host<float>();
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(std::isnan(y[i]), ones[i] != 0) << i;
}

INSTANTIATE_TEST_SUITE_P(Devices, DropoutTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
