// SPDX-License-Identifier: MIT
// The parts of a batch norm that the conformance table does not test: the running statistics and the values that are
// saved for backward.
#include <cmath>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/core/shard.h"
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

// ---- Shards of a batch whose statistics are those of the whole ----

TEST_P(BatchNormTest, MomentsOfShardsAreMergedToThoseOfTheBatch) {
  constexpr std::int64_t kChannels = 20, kPixels = 3 * 7;
  std::vector<float> values = normal_values(7 * kPixels * kChannels, 4);
  for (float& value : values) value += 1000;
  const Tensor x = tensor_of(backend(), {7, 3, 7, kChannels}, values);
  const std::vector<float> images = {2, 0, 1, 4};
  const Tensor pairs = Tensor::empty(backend(), {4, 2, kChannels});
  backend().fill(pairs, std::nanf(""));  // that of the empty shard is not read
  std::int64_t first = 0;
  for (std::int64_t shard = 0; shard < 4; ++shard) {
    const auto count = static_cast<std::int64_t>(images[static_cast<std::size_t>(shard)]);
    if (count == 0) continue;
    const Tensor part = x.view({count, 3, 7, kChannels}, first * kPixels * kChannels);
    const Tensor pair = backend().batch_norm_moments(part, {});
    backend().cast(pair, pairs.view({2, kChannels}, shard * 2 * kChannels));
    first += count;
  }
  const Tensor merged = Tensor::empty(backend(), {2, kChannels});
  backend().merge_pairs(BatchNormPair::kMoments, pairs, tensor_of(backend(), {4}, images), kPixels, merged);
  const reference::Moments batch = reference::moments({x.shape(), to_double(values)});
  std::vector<double> expected;
  for (const double variance : batch.variance) expected.push_back(variance * 7 * kPixels);
  const std::vector<float> got = merged.to_host<float>();
  const std::vector<float> means(got.begin(), got.begin() + kChannels), deviations(got.begin() + kChannels, got.end());
  EXPECT_TRUE(agrees(means, batch.mean, 1e-7));
  EXPECT_TRUE(agrees(deviations, expected, 1e-4));

  backend().merge_pairs(BatchNormPair::kSums, pairs, tensor_of(backend(), {4}, images), kPixels, merged);
  const std::vector<float> parts = pairs.to_host<float>();
  std::vector<double> sums(2 * kChannels);
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (i / sums.size() != 1) sums[i % sums.size()] += static_cast<double>(parts[i]);
  EXPECT_TRUE(agrees(merged.to_host<float>(), sums, 1e-7));
}

/// One of two shards, which gets the other one's pairs from what was computed before.
class OtherShardIsKnown final : public ShardGroup {
 public:
  /// 2 and 3 images.
  OtherShardIsKnown(std::vector<Tensor> of_first, std::vector<Tensor> of_second)
      : pairs_{std::move(of_first), std::move(of_second)} {}
  std::int64_t images() const override { return 5; }
  bool updates_running_statistics() const override { return current_shard() == 0; }
  Tensor merge(BatchNormPair kind, const Tensor& pair, std::int64_t pixels) override {
    const std::size_t own = static_cast<std::size_t>(current_shard()), place = kind == BatchNormPair::kMoments ? 0 : 1;
    Backend& backend = pair.backend();
    const Tensor merged = Tensor::empty(backend, pair.shape());
    if (pairs_[own].size() <= place) pairs_[own].push_back(pair);  // to be known
    const Tensor both = Tensor::empty(backend, {2, 2, pair.shape()[1]});
    for (std::size_t shard = 0; shard < 2; ++shard) {
      const Tensor& of_shard = pairs_[shard].size() > place ? pairs_[shard][place] : pair;
      backend.cast(of_shard, both.view(pair.shape(), static_cast<std::int64_t>(shard) * pair.count()));
    }
    backend.merge_pairs(kind, both, tensor_of(backend, {2}, {2, 3}), pixels, merged);
    return merged;
  }
  const std::vector<Tensor>& pairs(std::size_t shard) const { return pairs_[shard]; }

 private:
  std::vector<Tensor> pairs_[2];
};

/// The results of a batch norm of images and of its backward.
struct BatchNormResults {
  std::vector<float> y, grad_x, grad_residual, grad_gamma, grad_beta, running_mean, running_var;
};

void append(std::vector<float>& to, const std::vector<float>& from) { to.insert(to.end(), from.begin(), from.end()); }

TEST_P(BatchNormTest, ShardsOfOneGroupGiveTheResultsOfTheWholeBatch) {
  for (const std::int64_t channels : {8, 3}) {
    for (const bool relu : {false, true}) {
      for (const bool with_residual : {false, true}) {
        SCOPED_TRACE(testing::Message() << channels << " channels, relu " << relu << ", residual " << with_residual);
        const Shape whole = {5, 3, 7, channels};
        const Tensor x = normal_tensor(backend(), whole, 4), residual = normal_tensor(backend(), whole, 5),
                     grad = normal_tensor(backend(), whole, 6);
        const BatchNormParams params{.epsilon = 1e-5f, .momentum = 0.3f, .relu = relu};
        const auto compute = [&](std::int64_t first, std::int64_t count, BatchNormState& state, BatchNormResults& to) {
          const Shape shape = {count, 3, 7, channels};
          const auto part = [&](const Tensor& of) { return of.view(shape, first * 3 * 7 * channels); };
          const Variable in = Variable::parameter(part(x), Tensor::empty(backend(), shape));
          const Variable added =
              with_residual ? Variable::parameter(part(residual), Tensor::empty(backend(), shape)) : Variable();
          const Variable y = batch_norm(in, state, params, true, added);
          append(to.y, y.value().to_host<float>());
          y.backward(part(grad));
          append(to.grad_x, in.grad().to_host<float>());
          if (with_residual) append(to.grad_residual, added.grad().to_host<float>());
        };
        const auto fresh_state = [&] {
          BatchNormState state = state_of(channels);
          state.gamma = parameter_of(backend(), {channels}, state.gamma.value().to_host<float>());
          state.beta = parameter_of(backend(), {channels}, state.beta.value().to_host<float>());
          return state;
        };
        const auto finish = [&](const BatchNormState& state, BatchNormResults& to) {
          to.grad_gamma = state.gamma.grad().to_host<float>();
          to.grad_beta = state.beta.grad().to_host<float>();
          to.running_mean = state.running_mean.to_host<float>();
          to.running_var = state.running_var.to_host<float>();
        };
        BatchNormResults expected;
        BatchNormState of_whole = fresh_state();
        compute(0, 5, of_whole, expected);
        finish(of_whole, expected);

        // Round 0 and 1: each shard's moments, and then its sums, become known to the other one. Round 2 counts.
        OtherShardIsKnown group({}, {});
        BatchNormResults got;
        BatchNormState of_shards = fresh_state();
        for (int round = 0; round < 3; ++round) {
          if (round == 1) group = OtherShardIsKnown({group.pairs(0)[0]}, {group.pairs(1)[0]});
          got = {};
          of_shards = fresh_state();
          for (const std::int64_t shard : {0, 1}) {
            const ShardScope scope(shard, &group);
            compute(shard == 0 ? 0 : 2, shard == 0 ? 2 : 3, of_shards, got);
          }
        }
        finish(of_shards, got);
        EXPECT_TRUE(agrees(got.y, to_double(expected.y), 2e-6));
        EXPECT_TRUE(agrees(got.grad_x, to_double(expected.grad_x), 2e-6));
        EXPECT_TRUE(agrees(got.grad_residual, to_double(expected.grad_residual), 2e-6));
        EXPECT_TRUE(agrees(got.grad_gamma, to_double(expected.grad_gamma), 2e-6));
        EXPECT_TRUE(agrees(got.grad_beta, to_double(expected.grad_beta), 2e-6));
        EXPECT_TRUE(agrees(got.running_mean, to_double(expected.running_mean), 2e-6));
        EXPECT_TRUE(agrees(got.running_var, to_double(expected.running_var), 2e-6));
      }
    }
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
