// SPDX-License-Identifier: MIT
// The counts of softmax cross-entropy, besides the loss and its gradient.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/reference.h"

namespace gradamp::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class LossTest : public DeviceTest {
 protected:
  Tensor labels_of(const std::vector<std::int32_t>& labels) {
    return Tensor::from_host(backend(), {static_cast<std::int64_t>(labels.size())}, labels);
  }
  float loss(const Shape& shape, const std::vector<float>& logits, const std::vector<std::int32_t>& labels,
             const StepState& state, double smoothing = 0) {
    const Variable x(tensor_of(backend(), shape, logits));
    return softmax_cross_entropy(x, labels_of(labels), state, {smoothing}).value().to_host<float>()[0];
  }
  static std::int64_t first_bad_step(const StepState& state) {
    return state.counters.to_host<std::int64_t>()[kFirstBadStep];
  }
};

TEST_P(LossTest, AddsTheBatchesLossesAndHits) {
  const StepState state = make_step_state(backend(), {.step = 3});
  double loss_sum = 0, correct = 0;
  for (std::uint32_t batch = 0; batch < 3; ++batch) {
    const Shape shape = {batch == 2 ? 5 : 33, 10};  // the last batch of an epoch is smaller
    const std::vector<float> logits = normal_values(shape.count(), batch);
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < shape[0]; ++n) labels.push_back(static_cast<std::int32_t>((n * n + batch) % 10));
    loss(shape, logits, labels, state);
    const reference::Array array(shape, to_double(logits));
    loss_sum += reference::cross_entropy_sum(array, labels);
    correct += static_cast<double>(reference::correct_count(array, labels));
  }
  const std::vector<double> metrics = state.metrics.to_host<double>();
  EXPECT_NEAR(metrics[kLossSum], loss_sum, 1e-5 * loss_sum);
  EXPECT_GT(correct, 0);
  EXPECT_EQ(metrics[kCorrect], correct);
  EXPECT_EQ(first_bad_step(state), 0);
}

TEST_P(LossTest, OfTiedLogitsTheFirstCounts) {
  const StepState state = make_step_state(backend());
  loss({4, 3}, {1, 2, 2, 1, 2, 2, 0, 0, 0, 5, 5, 5}, {1, 2, 0, 1}, state);
  EXPECT_EQ(state.metrics.to_host<double>()[kCorrect], 2);
}

TEST_P(LossTest, HugeLogitsStayFinite) {
  const StepState state = make_step_state(backend());
  EXPECT_FLOAT_EQ(loss({2, 2}, {1e4f, -1e4f, 1e4f, -1e4f}, {0, 1}, state), 1e4f);
  EXPECT_FLOAT_EQ(loss({1, 2}, {1e38f, -1e38f}, {0}, state), 0.0f);
  EXPECT_EQ(first_bad_step(state), 0);
}

TEST_P(LossTest, TheFirstStepWithALossThatIsNotFiniteIsMarked) {
  const std::vector<std::vector<float>> bad = {{NAN, 0, 0},       {0, 0, NAN},       {0, NAN, 0},
                                               {kInfinity, 0, 0}, {0, kInfinity, 0}, {-kInfinity, 0, 0}};
  for (const std::vector<float>& row : bad) {
    SCOPED_TRACE(::testing::PrintToString(row));
    const StepState state = make_step_state(backend(), {.step = 6});
    std::vector<float> logits = normal_values(6, 1);
    logits.insert(logits.end(), row.begin(), row.end());
    loss({2, 3}, normal_values(6, 1), {0, 2}, state);
    EXPECT_EQ(first_bad_step(state), 0);
    EXPECT_FALSE(std::isfinite(loss({3, 3}, logits, {0, 2, 0}, state)));
    EXPECT_EQ(first_bad_step(state), 7);
    backend().advance_step(state, 3);
    loss({3, 3}, logits, {0, 2, 0}, state);
    EXPECT_EQ(first_bad_step(state), 7) << "a later step took the place of the first";
  }
}

TEST_P(LossTest, ALabelThatIsNoClassMarksTheStep) {
  for (const std::int32_t bad : {3, -1, 1 << 30}) {
    const StepState state = make_step_state(backend(), {.step = 6});
    EXPECT_TRUE(std::isfinite(loss({2, 3}, normal_values(6, 1), {0, 2}, state)));
    EXPECT_EQ(first_bad_step(state), 0);
    EXPECT_TRUE(std::isnan(loss({2, 3}, normal_values(6, 1), {0, bad}, state))) << bad;
    EXPECT_EQ(first_bad_step(state), 7);
  }
}

TEST_P(LossTest, RowsOfMetricsAreAddedInTheirOrder) {
  const StepState state = make_step_state(backend(), {.step = 6});
  const auto add = [&](const std::vector<double>& rows) {
    backend().add_metrics(
        Tensor::from_host(backend(), {static_cast<std::int64_t>(rows.size()) / kStepMetricCount, kStepMetricCount},
                          rows),
        state);
    return state.metrics.to_host<double>();
  };
  // In another order the losses' sum is 1.
  EXPECT_EQ(add({1, 2, 1e16, 3, -1e16, 0}), (std::vector<double>{0, 5}));
  EXPECT_EQ(first_bad_step(state), 0);
  add({1, 0, std::numeric_limits<double>::infinity(), 1});
  EXPECT_EQ(first_bad_step(state), 7);
  EXPECT_TRUE(std::isnan(add({NAN, 0})[kLossSum]));
  backend().advance_step(state, 1);
  add({NAN, 0});
  EXPECT_EQ(first_bad_step(state), 7) << "a later step took the place of the first";
}

TEST_P(LossTest, LabelSmoothingChangesTheLossAndTheGradientButNotTheHits) {
  const StepState state = make_step_state(backend());
  const std::vector<float> logits = {1, 2, 0.5f, -1, 0, 3};
  loss({2, 3}, logits, {1, 0}, state, 0.3);
  const std::vector<double> metrics = state.metrics.to_host<double>();
  EXPECT_EQ(metrics[kCorrect], 1);
  // By hand: log(e^1 + e^2 + e^0.5) = 2.464369 and log(e^-1 + e^0 + e^3) = 3.065888; targets 0.8 and 0.1.
  const double expected = 2.464369 - (0.8 * 2 + 0.1 * 1.5) + 3.065888 - (0.8 * -1 + 0.1 * 3);
  EXPECT_NEAR(metrics[kLossSum], expected, 1e-5);

  const Variable x = parameter_of(backend(), {1, 3}, {0, 0, 0});  // probabilities of 1/3
  softmax_cross_entropy(x, labels_of({2}), make_step_state(backend()), {0.3}).backward();
  const std::vector<double> gradient = {1.0 / 3 - 0.1, 1.0 / 3 - 0.1, 1.0 / 3 - 0.8};
  EXPECT_TRUE(agrees(x.grad().to_host<float>(), gradient, 1e-6));
}

TEST_P(LossTest, LabelSmoothingOfHugeLogitsIsExact) {
  const StepState state = make_step_state(backend());
  EXPECT_FLOAT_EQ(loss({1, 2}, {1e8f, 1e8f}, {0}, state, 0.5), std::log(2.0f));
  EXPECT_FLOAT_EQ(loss({1, 2}, {1e38f, -1e38f}, {0}, state, 0.5), 0.5e38f);
  EXPECT_EQ(first_bad_step(state), 0);
}

TEST_P(LossTest, WithLabelSmoothingALossThatIsNotFiniteIsMarked) {
  for (const std::vector<float>& row :
       std::vector<std::vector<float>>{{NAN, 0, 0}, {0, 0, NAN}, {kInfinity, 0, 0}, {0, 0, -kInfinity}}) {
    SCOPED_TRACE(::testing::PrintToString(row));
    const StepState state = make_step_state(backend(), {.step = 6});
    EXPECT_FALSE(std::isfinite(loss({1, 3}, row, {0}, state, 0.1)));
    EXPECT_EQ(first_bad_step(state), 7);
  }
  const StepState state = make_step_state(backend(), {.step = 6});
  EXPECT_TRUE(std::isnan(loss({2, 3}, normal_values(6, 1), {0, -1}, state, 0.1)));
  EXPECT_EQ(first_bad_step(state), 7);
}

TEST_P(LossTest, TheGradientIsScaledByWhatArrives) {
  const Variable x = parameter_of(backend(), {3, 10}, normal_values(30, 1));
  const Variable y = softmax_cross_entropy(x, labels_of({1, 2, 3}), make_step_state(backend()));
  y.backward();
  const std::vector<float> plain = x.grad().to_host<float>();
  x.clear_grad();
  const Variable again = softmax_cross_entropy(x, labels_of({1, 2, 3}), make_step_state(backend()));
  again.backward(tensor_of(backend(), {}, {-4.0f}));
  std::vector<double> expected;
  for (const float value : plain) expected.push_back(-4 * static_cast<double>(value));
  EXPECT_TRUE(agrees(x.grad().to_host<float>(), expected, 1e-6));
}

INSTANTIATE_TEST_SUITE_P(Devices, LossTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
