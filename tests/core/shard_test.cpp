// SPDX-License-Identifier: MIT
#include "gradamp/core/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp {
namespace {

using test::error_of;

TEST(Shards, AreAPowerOfTwoAndAtMostOnePerImage) {
  for (const std::int64_t good : {1, 2, 4, 64, 128}) EXPECT_NO_THROW(check_shards(good, 128));
  for (const std::int64_t bad : {-2, 0, 3, 12, 256})
    EXPECT_EQ(error_of([&] { check_shards(bad, 1000); }),
              fmt::format("expected a number of shards of 1, 2, 4, ... up to 128, got {}", bad));
  EXPECT_EQ(error_of([] { check_shards(8, 7); }),
            "expected at most one shard per image of a batch: 7 images, got 8 shards");
}

TEST(Shards, CutABatchEvenly) {
  for (const std::int64_t shards : {1, 2, 4, 8, 128}) {
    for (const std::int64_t images : {1, 2, 3, 7, 8, 50, 128, 1001}) {
      std::int64_t next = 0;
      for (const ShardRange& range : shard_ranges(images, shards)) {
        EXPECT_EQ(range.first, next);
        EXPECT_TRUE(range.count == images / shards || range.count == images / shards + 1) << range.count;
        next += range.count;
      }
      EXPECT_EQ(next, images);
    }
  }
}

TEST(Shards, AScopeIsOfItsThread) {
  EXPECT_EQ(current_shard(), 0);
  {
    const ShardScope scope(3);
    {
      const ShardScope inner(5);
      EXPECT_EQ(current_shard(), 5);
    }
    EXPECT_EQ(current_shard(), 3);
    std::thread([] { EXPECT_EQ(current_shard(), 0); }).join();
  }
  EXPECT_EQ(current_shard(), 0);
}

class ShardTest : public test::DeviceTest {
 protected:
  std::vector<float> dropped(std::int64_t shard, std::uint32_t substream) {
    const ShardScope scope(shard);
    const Variable x = test::parameter_of(backend(), {1000}, std::vector<float>(1000, 1));
    const Variable y = dropout(x, {0.5f, substream}, test::make_step_state(backend()));
    y.backward(test::tensor_of(backend(), {1000}, std::vector<float>(1000, 1)));
    EXPECT_EQ(x.grad().to_host<float>(), y.value().to_host<float>());  // one mask for both directions
    return y.value().to_host<float>();
  }
};

TEST_P(ShardTest, EachDrawsItsOwnDropout) {
  std::vector<std::vector<float>> masks;
  for (const std::uint32_t substream : {0u, 1u, (1u << 25) - 1})
    for (const std::int64_t shard : {0, 1, 2, 127}) masks.push_back(dropped(shard, substream));
  for (std::size_t i = 0; i < masks.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      int equal = 0;
      for (std::size_t k = 0; k < 1000; ++k) equal += masks[i][k] == masks[j][k] ? 1 : 0;
      EXPECT_NEAR(equal, 500, 80) << i << " " << j;  // five standard deviations
    }
  }
  EXPECT_EQ(error_of([&] { dropped(1, 1u << 25); }),
            "dropout: with shards, expected a substream below 33554432, got 33554432");
}

TEST_P(ShardTest, LossesAndGradientsAddUpToTheBatchs) {
  constexpr std::int64_t kRows = 7, kClasses = 10;
  const std::vector<float> logits = test::normal_values(kRows * kClasses, 1);
  const std::vector<std::int32_t> labels = {3, 1, 4, 1, 5, 9, 2};
  const auto computed = [&](const ShardRange& rows, const CrossEntropyParams& params, const StepState& state) {
    const auto values = std::vector<float>(logits.begin() + rows.first * kClasses,
                                           logits.begin() + (rows.first + rows.count) * kClasses);
    const Variable x = test::parameter_of(backend(), {rows.count, kClasses}, values);
    const Tensor y = Tensor::from_host(
        backend(), {rows.count},
        std::vector<std::int32_t>(labels.begin() + rows.first, labels.begin() + rows.first + rows.count));
    const Variable loss = softmax_cross_entropy(x, y, state, params);
    loss.backward();
    return std::pair(loss.value().to_host<float>()[0], x.grad().to_host<float>());
  };
  for (const double smoothing : {0.0, 0.1}) {
    const StepState state = test::make_step_state(backend()), of_shards = test::make_step_state(backend());
    const auto [loss, gradient] = computed({0, kRows}, {.label_smoothing = smoothing}, state);
    double sum = 0;
    std::vector<float> gradients;
    for (const ShardRange& rows : shard_ranges(kRows, 4)) {
      const auto [part, grad] = computed(rows, {.label_smoothing = smoothing, .divisor = kRows}, of_shards);
      sum += part;
      gradients.insert(gradients.end(), grad.begin(), grad.end());
    }
    EXPECT_NEAR(sum, loss, 1e-6);
    EXPECT_EQ(gradients, gradient);  // of each row alone
    EXPECT_NEAR(of_shards.metrics.to_host<double>()[kLossSum], state.metrics.to_host<double>()[kLossSum], 1e-12);
    EXPECT_EQ(of_shards.metrics.to_host<double>()[kCorrect], state.metrics.to_host<double>()[kCorrect]);
  }
  EXPECT_EQ(error_of([&] {
              computed({0, 1}, {.divisor = -1}, test::make_step_state(backend()));
            }),
            "softmax_cross_entropy: expected a divisor of at least 0, got -1");
}

INSTANTIATE_TEST_SUITE_P(Devices, ShardTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
