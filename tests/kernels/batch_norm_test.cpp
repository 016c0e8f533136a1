// SPDX-License-Identifier: MIT
// The parts of a batch norm that the conformance table does not test: the running statistics and the values that are
// saved for backward.
#include <cmath>
#include <optional>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/reference.h"

namespace gradamp::test {
namespace {

class BatchNormTest : public DeviceTest {
 protected:
  BatchNormState state_of(std::int64_t channels) {
    return {Variable(normal_tensor(backend(), {channels}, 1)), Variable(normal_tensor(backend(), {channels}, 2)),
            normal_tensor(backend(), {channels}, 3),
            tensor_of(backend(), {channels}, std::vector<float>(static_cast<std::size_t>(channels), 2.0f))};
  }
};

TEST_P(BatchNormTest, TrainingUpdatesTheRunningStatistics) {
  for (const Shape& shape : {Shape{3, 5, 7, 20}, Shape{3, 33, 31, 3}, Shape{7, 64}}) {
    for (const float shift : {0.0f, 1000.0f}) {
      SCOPED_TRACE(shape.to_string() + " shifted by " + std::to_string(shift));
      const std::int64_t channels = shape[shape.rank() - 1];
      const double rows = static_cast<double>(shape.count() / channels);
      std::vector<float> values = normal_values(shape.count(), 4);
      for (float& value : values) value += shift;
      const BatchNormState state = state_of(channels);
      const std::vector<float> mean_before = state.running_mean.to_host<float>();
      const std::vector<float> variance_before = state.running_var.to_host<float>();
      BatchNormParams params;
      params.momentum = 0.3f;
      batch_norm(Variable(tensor_of(backend(), shape, values)), state, params, true);

      const reference::Moments batch = reference::moments({shape, to_double(values)});
      std::vector<double> mean, variance;
      for (std::size_t c = 0; c < batch.mean.size(); ++c) {
        mean.push_back(0.7 * static_cast<double>(mean_before[c]) + 0.3 * batch.mean[c]);
        variance.push_back(0.7 * static_cast<double>(variance_before[c]) + 0.3 * batch.variance[c] * rows / (rows - 1));
      }
      EXPECT_TRUE(agrees(state.running_mean.to_host<float>(), mean, 1e-6));
      EXPECT_TRUE(agrees(state.running_var.to_host<float>(), variance, 1e-5));
    }
  }
}

TEST_P(BatchNormTest, EvaluationLeavesTheRunningStatistics) {
  const BatchNormState state = state_of(8);
  const auto mean = bits_of(state.running_mean), variance = bits_of(state.running_var);
  batch_norm(Variable(normal_tensor(backend(), {3, 5, 7, 8}, 4)), state, {}, false);
  EXPECT_EQ(bits_of(state.running_mean), mean);
  EXPECT_EQ(bits_of(state.running_var), variance);
}

TEST_P(BatchNormTest, SavesTheMeanAndTheInverseOfTheBiasedDeviation) {
  const Shape shape = {3, 5, 7, 8};
  const std::vector<float> values = normal_values(shape.count(), 4);
  const BatchNormState state = state_of(8);
  BatchNormForward forward;
  forward.x = tensor_of(backend(), shape, values);
  forward.gamma = state.gamma.value();
  forward.beta = state.beta.value();
  forward.running_mean = state.running_mean;
  forward.running_var = state.running_var;
  forward.y = Tensor::empty(backend(), shape);
  forward.mean = Tensor::empty(backend(), {8});
  forward.inverse_std = Tensor::empty(backend(), {8});
  backend().batch_norm_forward_training(forward, {});
  const reference::Moments batch = reference::moments({shape, to_double(values)});
  std::vector<double> inverse_std;
  for (const double variance : batch.variance) inverse_std.push_back(1 / std::sqrt(variance + 1e-5));
  EXPECT_TRUE(agrees(forward.mean.to_host<float>(), batch.mean, 1e-5));
  EXPECT_TRUE(agrees(forward.inverse_std.to_host<float>(), inverse_std, 1e-5));
}

TEST_P(BatchNormTest, AConstantChannelGivesBetaAndFiniteGradients) {
  const Shape shape = {3, 5, 7, 2};
  std::vector<float> values = normal_values(shape.count(), 4);
  for (std::size_t i = 0; i < values.size(); i += 2) values[i] = 0.1f;
  const Variable x = parameter_of(backend(), shape, values);
  const BatchNormState state = state_of(2);
  const Variable y = batch_norm(x, state, {}, true);
  const float beta = state.beta.value().to_host<float>()[0];
  const std::vector<float> result = y.value().to_host<float>();
  // With zero variance the std is sqrt(1e-5): the rounding error of the mean, 1e-8, is divided by it.
  for (std::size_t i = 0; i < result.size(); i += 2) EXPECT_NEAR(result[i], beta, 2e-5);
  y.backward(normal_tensor(backend(), shape, 5));
  for (const float value : x.grad().to_host<float>()) ASSERT_TRUE(std::isfinite(value));
}

// Forward and backward compute the ReLU's mask separately. If the mean is far larger than the std, many values equal
// the mean up to the rounding of either.
TEST_P(BatchNormTest, TheReluIsClosedInBackwardWhereItIsInForward) {
  for (const bool with_residual : {false, true}) {
    const Shape shape = {3, 33, 31, 8};
    std::vector<float> values = normal_values(shape.count(), 4);
    for (float& value : values) value = 1000 + 1e-3f * value;
    const Variable x = parameter_of(backend(), shape, values);
    const BatchNormState state{parameter_of(backend(), {8}, std::vector<float>(8, 1.0f)),
                               parameter_of(backend(), {8}, std::vector<float>(8, 0.0f)), Tensor::zeros(backend(), {8}),
                               Tensor::zeros(backend(), {8})};
    const Variable residual = with_residual ? Variable(Tensor::zeros(backend(), shape)) : Variable();
    BatchNormParams params;
    params.relu = true;
    const Variable y = batch_norm(x, state, params, true, residual);
    y.backward(tensor_of(backend(), shape, std::vector<float>(static_cast<std::size_t>(shape.count()), 1.0f)));
    // The gradient of beta counts the elements that the ReLU passes.
    std::vector<double> open(8, 0.0);
    const std::vector<float> result = y.value().to_host<float>();
    for (std::size_t i = 0; i < result.size(); ++i) open[i % 8] += result[i] > 0 ? 1 : 0;
    const std::vector<float> counted = state.beta.grad().to_host<float>();
    EXPECT_EQ(to_double(counted), open) << (with_residual ? "with residual" : "without residual");
  }
}

/// Runs a batch norm with ReLU and a convolution, in training also backward. Returns the bits of all results. With
/// `read_first` the batch norm's result is read before the convolution reads it, so that it is stored.
std::vector<std::vector<std::uint32_t>> norm_and_convolution(Backend& backend, std::int64_t channels, int groups,
                                                             bool training, bool read_first) {
  const DType type = backend.activation_dtype();
  const Shape shape = {3, 6, 5, channels}, filter = {32, 3, 3, channels / groups};
  const auto parameter = [&](const Shape& of, std::uint32_t substream) {
    return parameter_of(backend, of, normal_values(of.count(), substream));
  };
  const auto input = cast(parameter(shape, 1), type);
  const Variable gamma = parameter({channels}, 2), beta = parameter({channels}, 3), weight = parameter(filter, 4);
  const BatchNormState state{gamma, beta, normal_tensor(backend, {channels}, 5),
                             tensor_of(backend, {channels}, std::vector<float>(static_cast<std::size_t>(channels), 2))};
  BatchNormParams params;
  params.relu = true;
  const Variable norm = batch_norm(input, state, params, training);
  EXPECT_EQ(norm.normalized().affine.defined(), backend.normalizes_inputs());
  if (read_first) {
    norm.value();
    EXPECT_FALSE(norm.normalized().affine.defined());
  }
  const Variable y = conv2d(norm, weight, {}, {.padding = 1, .groups = groups});
  if (training) y.backward(cast(Variable(normal_tensor(backend, y.shape(), 6)), type).value());
  // What was applied remains what it was, although the parameters change.
  backend.fill(gamma.value(), 7);
  backend.fill(beta.value(), 8);
  std::vector<std::vector<std::uint32_t>> results = {bits_of(cast(y, DType::kF32).value()),
                                                     bits_of(cast(norm, DType::kF32).value())};
  if (training)
    for (const Variable& parameter_of_net : {gamma, beta, weight}) results.push_back(bits_of(parameter_of_net.grad()));
  return results;
}

TEST_P(BatchNormTest, HasTheSameBitsWhenAConvolutionAppliesIt) {
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    BackendOptions options = GetParam().options;
    options.precision = precision;
    const std::unique_ptr<Backend> device = make_backend(GetParam().device, options);
    for (const auto& [channels, groups] : {std::pair(16, 1), std::pair(24, 1), std::pair(32, 2)}) {
      for (const bool training : {true, false}) {
        std::optional<NoGrad> guard;
        if (!training) guard.emplace();
        EXPECT_EQ(norm_and_convolution(*device, channels, groups, training, true),
                  norm_and_convolution(*device, channels, groups, training, false))
            << channels << " channels, " << groups << " groups, training: " << training;
      }
    }
  }
}

TEST_P(BatchNormTest, IsPostponedOnlyByDevicesThatCanApplyIt) {
  if (backend().normalizes_inputs()) return;
  const Tensor x = Tensor::zeros(backend(), {2, 3});
  EXPECT_EQ(error_of([&] { backend().apply_batch_norm(x, x); }),
            to_string(backend().device()) + " does not postpone batch norms");
}

INSTANTIATE_TEST_SUITE_P(Devices, BatchNormTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
