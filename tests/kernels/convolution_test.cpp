// SPDX-License-Identifier: MIT
// What a convolution does besides its results: the moments for the batch norm behind it, and the addition of an input's
// gradient to an earlier one.
#include <gtest/gtest.h>

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
    {{2, 70, 64, 5}, 7, 1, {}},                             //
    {{3, 6, 5, 3}, 6, 3, {.padding = 1}},                   //
    {{128, 12, 12, 8}, 128, 1, {}},                         // wide tiles
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
      backend.conv2d_backward_input(grad_y, weight, problem.params, expected);
      backend.add(expected, sum, expected);
      backend.conv2d_add_backward_input(grad_y, weight, problem.params, sum);
      EXPECT_EQ(host_values(sum), host_values(expected));
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

}  // namespace
}  // namespace gradamp::test
