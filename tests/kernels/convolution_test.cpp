// SPDX-License-Identifier: MIT
// What a convolution does besides its results: the moments for the batch norm behind it, the sums for the one before
// it, and the addition of an input's gradient to an earlier one.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/reference.h"

namespace gradamp::test {
namespace {

class ConvolutionTest : public DeviceTest {
 protected:
  /// Calls body(backend) with a backend of this device in f32 and in bf16.
  template <typename Body>
  void in_every_precision(const Body& body) {
    for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
      SCOPED_TRACE(name_of(precision));
      BackendOptions options = GetParam().options;
      if (options.convolution == ConvolutionMethod::kHopper && precision != Precision::kBF16) continue;  // kMma
      options.precision = precision;
      body(*make_backend(GetParam().device, options));
    }
  }
};

/// Values of a normal distribution in the type of activations.
Tensor activations(Backend& backend, const Shape& shape, std::uint32_t substream) {
  return cast(Variable(normal_tensor(backend, shape, substream)), backend.activation_dtype()).value();
}

std::vector<float> host_values(const Tensor& tensor) {
  return cast(Variable(tensor), DType::kF32).value().to_host<float>();
}

struct Problem {
  Shape x;
  std::int64_t out_channels, kernel;
  Conv2dParams params;
};

/// Sizes with whole and partial tiles of every width, one and several ranges of groups of moments, a stride, and
/// channels that are no whole vectors.
const Problem kProblems[] = {
    {{2, 65, 64, 16}, 72, 1, {}},                           // 8320 pixels: two levels of ranges on a GPU
    {{1, 64, 64, 8}, 24, 1, {}},                            // 4096 pixels: one
    {{2, 9, 7, 16}, 40, 3, {.padding = 1}},                 //
    {{3, 11, 9, 24}, 136, 3, {.stride = 2, .padding = 1}},  //
    {{8, 16, 8, 16}, 24, 3, {.stride = 2, .padding = 1}},   // whole tiles for every place in the stride
    {{8, 8, 16, 8}, 32, 1, {.stride = 2}},                  // where most places have no tap
    {{2, 9, 7, 8}, 16, 3, {.stride = 3, .padding = 1}},     // several launches backward: no sums
    {{2, 70, 64, 5}, 7, 1, {}},                             //
    {{3, 6, 5, 3}, 6, 3, {.padding = 1}},                   //
    {{128, 12, 12, 8}, 128, 1, {}},                         // wide tiles forward
    {{1, 120, 119, 128}, 8, 1, {}},                         // and backward
};

TEST_P(ConvolutionTest, ComputesTheMomentsOfItsResult) {
  in_every_precision([](Backend& backend) {
    for (const Problem& problem : kProblems) {
      SCOPED_TRACE(problem.x.to_string() + " to " + std::to_string(problem.out_channels));
      const std::int64_t channels = problem.out_channels;
      const Tensor x = activations(backend, problem.x, 1);
      const Tensor weight = activations(backend, {channels, problem.kernel, problem.kernel, problem.x[3]}, 2);
      // A bias far from zero: squares minus the square of the mean would cancel.
      const Tensor bias =
          tensor_of(backend, {channels}, std::vector<float>(static_cast<std::size_t>(channels), 300.0f));
      const Shape result = conv2d(Variable(x), Variable(weight), Variable(bias), problem.params).shape();
      const Tensor y = Tensor::empty(backend, result, x.dtype());
      Conv2dForward forward{x, weight, bias, y, {}};
      forward.moments = backend.make_moments(forward, problem.params);
      backend.conv2d_forward(forward, problem.params);
      if (!forward.moments.values.defined()) continue;

      // The moments are of the results before they are rounded to bf16.
      const Tensor in_f32 =
          conv2d(cast(Variable(x), DType::kF32), cast(Variable(weight), DType::kF32), Variable(bias), problem.params)
              .value();
      const std::vector<float> values = in_f32.to_host<float>(), moments = forward.moments.values.to_host<float>();
      const std::int64_t rows = y.count() / channels, group_rows = forward.moments.rows;
      std::vector<double> actual_mean, mean, actual_deviations, deviations;
      for (std::int64_t c = 0; c < channels; ++c) {
        double sum = 0, squares = 0, group_sum = 0;
        for (std::int64_t row = 0; row < rows; ++row) sum += values[static_cast<std::size_t>(row * channels + c)];
        for (std::int64_t row = 0; row < rows; ++row) {
          const double d = values[static_cast<std::size_t>(row * channels + c)] - sum / static_cast<double>(rows);
          squares += d * d;
        }
        const auto moment = [&](std::int64_t group, std::int64_t kind) {
          return double{moments[static_cast<std::size_t>((2 * group + kind) * channels + c)]};
        };
        const auto rows_of = [&](std::int64_t group) {
          return static_cast<double>(std::min(group_rows, rows - group * group_rows));
        };
        const std::int64_t groups = (rows + group_rows - 1) / group_rows;
        for (std::int64_t group = 0; group < groups; ++group) group_sum += rows_of(group) * moment(group, 0);
        const double group_mean = group_sum / static_cast<double>(rows);
        double group_squares = 0;
        for (std::int64_t group = 0; group < groups; ++group) {
          const double offset = moment(group, 0) - group_mean;
          group_squares += moment(group, 1) + rows_of(group) * offset * offset;
        }
        actual_mean.push_back(group_mean);
        mean.push_back(sum / static_cast<double>(rows));
        actual_deviations.push_back(group_squares);
        deviations.push_back(squares);
      }
      EXPECT_TRUE(agrees(actual_mean, mean, 1e-6));
      EXPECT_TRUE(agrees(actual_deviations, deviations, 1e-4));
    }
  });
}

TEST_P(ConvolutionTest, AddsTheInputsGradientToAnEarlierOne) {
  in_every_precision([](Backend& backend) {
    for (const Problem& problem : kProblems) {
      SCOPED_TRACE(problem.x.to_string() + " to " + std::to_string(problem.out_channels));
      const Tensor weight =
          activations(backend, {problem.out_channels, problem.kernel, problem.kernel, problem.x[3]}, 2);
      const Tensor x = activations(backend, problem.x, 1);
      const Shape result = conv2d(Variable(x), Variable(weight), {}, problem.params).shape();
      const Tensor grad_y = activations(backend, result, 3), sum = activations(backend, problem.x, 4);
      const Tensor expected = Tensor::empty(backend, problem.x, x.dtype());
      backend.conv2d_backward_input({grad_y, weight, expected}, problem.params);
      backend.add(expected, sum, expected);
      backend.conv2d_backward_input({grad_y, weight, sum, true}, problem.params);
      EXPECT_EQ(host_values(sum), host_values(expected));
    }
  });
}

/// How a batch norm's ReLU lets gradients pass.
enum class Passes { kAll, kWherePositive, kWhereResultIsPositive };

/// A batch norm of `x` whose backward is still to come. Its statistics are any numbers: the sums are of what they are
/// given.
PendingBatchNorm pending_batch_norm(Backend& backend, const Tensor& x, Passes passes) {
  const Shape channels = {x.shape()[3]};
  PendingBatchNorm norm;
  norm.tensors.x = x;
  norm.tensors.gamma = normal_tensor(backend, channels, 11);
  norm.tensors.beta = normal_tensor(backend, channels, 12);
  norm.tensors.mean = normal_tensor(backend, channels, 13);
  norm.tensors.inverse_std = Tensor::empty(backend, channels);
  backend.fill(norm.tensors.inverse_std, 0.75f);
  if (passes == Passes::kWhereResultIsPositive) norm.tensors.y = activations(backend, x.shape(), 14);
  norm.params.relu = passes != Passes::kAll;
  return norm;
}

/// g of BatchNormBackward: `gradient` where the ReLU passed it.
std::vector<double> passed(const std::vector<float>& gradient, const PendingBatchNorm& norm) {
  const std::vector<float> x = host_values(norm.tensors.x), mean = norm.tensors.mean.to_host<float>();
  const std::vector<float> gamma = norm.tensors.gamma.to_host<float>(), beta = norm.tensors.beta.to_host<float>();
  const std::vector<float> y = norm.tensors.y.defined() ? host_values(norm.tensors.y) : std::vector<float>();
  std::vector<double> result;
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const std::size_t c = i % mean.size();
    const float value = y.empty() ? std::fma(x[i] - mean[c], gamma[c] * 0.75f, beta[c]) : y[i];
    result.push_back(norm.params.relu && !(value > 0.0f) ? 0.0 : static_cast<double>(gradient[i]));
  }
  return result;
}

/// The sums over the rows of g and of g (x - mean).
std::vector<double> sums_of(const std::vector<double>& g, const PendingBatchNorm& norm) {
  const std::vector<float> x = host_values(norm.tensors.x), mean = norm.tensors.mean.to_host<float>();
  std::vector<double> sums(2 * mean.size());
  for (std::size_t i = 0; i < g.size(); ++i) {
    const std::size_t c = i % mean.size();
    sums[c] += g[i];
    sums[mean.size() + c] += g[i] * (static_cast<double>(x[i]) - static_cast<double>(mean[c]));
  }
  return sums;
}

TEST_P(ConvolutionTest, SumsTheGradientsOfTheBatchNormBeforeIt) {
  in_every_precision([](Backend& backend) {
    int summed = 0;
    for (const Problem& problem : kProblems) {
      const Tensor weight =
          activations(backend, {problem.out_channels, problem.kernel, problem.kernel, problem.x[3]}, 2);
      const Tensor x = activations(backend, problem.x, 1);
      const Shape result = conv2d(Variable(x), Variable(weight), {}, problem.params).shape();
      const Tensor grad_y = activations(backend, result, 3);
      for (const Passes passes : {Passes::kAll, Passes::kWherePositive, Passes::kWhereResultIsPositive}) {
        for (const bool add : {false, true}) {
          // To save time, large problems run only the case that reads every tensor.
          if (problem.x.count() > 100'000 && !(passes == Passes::kWhereResultIsPositive && add)) continue;
          SCOPED_TRACE(testing::Message() << problem.x.to_string() << " to " << problem.out_channels << ", passes "
                                          << static_cast<int>(passes) << (add ? ", added" : ""));
          const Tensor gradient = activations(backend, problem.x, 4), actual = activations(backend, problem.x, 4);
          backend.conv2d_backward_input({grad_y, weight, gradient, add}, problem.params);
          PendingBatchNorm norm = pending_batch_norm(backend, x, passes);
          backend.conv2d_backward_input({grad_y, weight, actual, add, &norm}, problem.params);
          if (!norm.tensors.sums.defined()) {
            EXPECT_EQ(host_values(actual), host_values(gradient));
            continue;
          }
          ++summed;
          const std::vector<double> g = passed(host_values(gradient), norm);
          const std::vector<float> stored = host_values(actual);
          EXPECT_EQ(std::vector<double>(stored.begin(), stored.end()), g);
          EXPECT_TRUE(agrees(norm.tensors.sums.to_host<float>(), sums_of(g, norm), 1e-5));
        }
      }
    }
    // Seven of the problems, three of them large, have whole vectors of channels, and a stride of 1 or whole tiles.
    const bool is_gpu = GetParam().device.kind != DeviceKind::kCpu;
    EXPECT_EQ(summed, is_gpu ? 6 * 4 + 3 : 0);
  });
}

/// A batch norm's gradients are the same whether the convolution behind it computes its sums or not. It does not if
/// another node still reads the batch norm's result, here one that does not reach the loss.
TEST_P(ConvolutionTest, ABatchNormMayLeaveItsSumsToTheConvolutionBehindIt) {
  in_every_precision([](Backend& backend) {
    const Shape shape = {4, 8, 8, 16};
    const std::int64_t channels = 16;
    const Tensor weight = activations(backend, {channels, 3, 3, channels}, 2), seed = activations(backend, shape, 3);
    const auto gradients = [&](bool with_residual, bool with_shortcut, bool is_read_elsewhere) {
      const Variable x = Variable::parameter(normal_tensor(backend, shape, 1), Tensor::zeros(backend, shape));
      const Variable residual = Variable::parameter(normal_tensor(backend, shape, 4), Tensor::zeros(backend, shape));
      BatchNormState state;
      state.gamma = parameter_of(backend, {channels}, normal_values(channels, 5));
      state.beta = parameter_of(backend, {channels}, normal_values(channels, 6));
      state.running_mean = Tensor::zeros(backend, {channels});
      state.running_var = Tensor::zeros(backend, {channels});
      const DType type = backend.activation_dtype();
      const Variable z =
          batch_norm(cast(x, type), state, {.relu = true}, true, with_residual ? cast(residual, type) : Variable());
      Variable elsewhere;
      if (is_read_elsewhere) elsewhere = relu(z);
      // The gradient of z is the convolution's, or the sum of a shortcut's and the convolution's.
      const Variable y = conv2d(z, Variable(weight), {}, {.padding = 1});
      (with_shortcut ? add(y, relu(z)) : y).backward(seed);
      std::vector<std::vector<float>> result;
      for (const Variable& each : {x, residual, state.gamma, state.beta}) {
        if (each.has_grad()) result.push_back(each.grad().to_host<float>());
      }
      return result;
    };
    for (const int kind : {0, 1, 2, 3}) {
      const bool with_residual = kind % 2 == 1, with_shortcut = kind / 2 == 1;
      SCOPED_TRACE(testing::Message() << (with_residual ? "with" : "without") << " a residual, "
                                      << (with_shortcut ? "with" : "without") << " a shortcut");
      const auto together = gradients(with_residual, with_shortcut, false);
      const auto apart = gradients(with_residual, with_shortcut, true);
      ASSERT_EQ(together.size(), with_residual ? 4u : 3u);
      ASSERT_EQ(together.size(), apart.size());
      for (std::size_t i = 0; i < together.size(); ++i) {
        EXPECT_TRUE(agrees(together[i], std::vector<double>(apart[i].begin(), apart[i].end()),
                           backend.activation_dtype() == DType::kBF16 ? 1e-2 : 1e-5))
            << i;
      }
    }
  });
}

/// A variable that two convolutions read receives the sum of their gradients, and one whose first gradient another
/// variable shares leaves that one's as it is.
TEST_P(ConvolutionTest, GradientsOfAVariableThatIsReadTwiceAreAdded) {
  const Shape shape = {2, 5, 4, 8}, filter = {8, 3, 3, 8};
  const auto leaf = [&] { return parameter_of(backend(), shape, normal_values(shape.count(), 1)); };
  const Tensor weight = normal_tensor(backend(), filter, 2), seed = normal_tensor(backend(), shape, 3);
  const Conv2dParams params = {.padding = 1};
  const auto gradient_of_one = [&] {
    const Variable x = leaf();
    conv2d(x, Variable(weight), {}, params).backward(seed);
    return x.grad().to_host<float>();
  };
  const std::vector<float> one = gradient_of_one(), seeds = seed.to_host<float>();
  std::vector<double> twice, with_sum;
  for (std::size_t i = 0; i < one.size(); ++i) {
    twice.push_back(2.0 * static_cast<double>(one[i]));
    with_sum.push_back(static_cast<double>(one[i]) + static_cast<double>(seeds[i]));
  }
  const Variable x = leaf();
  const Variable inner = add(x, Variable(Tensor::zeros(backend(), shape)));
  add(conv2d(inner, Variable(weight), {}, params), conv2d(inner, Variable(weight), {}, params)).backward(seed);
  EXPECT_TRUE(agrees(x.grad().to_host<float>(), twice, 1e-6));

  const Variable first = leaf(), second = leaf();
  const Variable shared = add(first, second);  // both receive one tensor, which `shared` receives from add below
  add(shared, conv2d(shared, Variable(weight), {}, params)).backward(seed);
  EXPECT_TRUE(agrees(first.grad().to_host<float>(), with_sum, 1e-6));
  EXPECT_TRUE(agrees(second.grad().to_host<float>(), with_sum, 1e-6));
  EXPECT_EQ(seed.to_host<float>(), seeds);
}

INSTANTIATE_TEST_SUITE_P(Devices, ConvolutionTest, ::testing::ValuesIn(devices()), device_name);
INSTANTIATE_TEST_SUITE_P(Hopper, ConvolutionTest,
                         ::testing::Values(TestDevice{"emulated_hopper",
                                                      Device{DeviceKind::kEmulated},
                                                      {.convolution = ConvolutionMethod::kHopper}}),
                         device_name);

}  // namespace
}  // namespace gradamp::test
