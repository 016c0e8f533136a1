// SPDX-License-Identifier: MIT
// Linear layers too large for the conformance table: the CUDA backends compute them with a library's matrix product.
#include <algorithm>
#include <string_view>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

/// 64 * 4097 * 4096 multiply-adds: just more than the limit in kernels/cuda/linear.h.
constexpr std::int64_t kRows = 64, kInputs = 4097, kOutputs = 4096;

/// Multiples of 1/64 in [-1, 1): sums of a few thousand products are exact in f32, in every order of the terms.
float value_at(std::int64_t index, std::uint64_t stream) {
  const std::uint64_t hash = (static_cast<std::uint64_t>(index) + stream * 1'000'000'007u) * 0x9e3779b97f4a7c15u;
  return static_cast<float>(hash >> 57) / 64.0f - 1.0f;
}

std::vector<float> values_of(std::int64_t count, std::uint64_t stream) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = value_at(i, stream);
  return values;
}

enum Stream : std::uint64_t { kX, kWeight, kBias, kGradY };
float x_at(std::int64_t row, std::int64_t input) { return value_at(row * kInputs + input, kX); }
float weight_at(std::int64_t output, std::int64_t input) { return value_at(output * kInputs + input, kWeight); }
float grad_y_at(std::int64_t row, std::int64_t output) { return value_at(row * kOutputs + output, kGradY); }

/// The sum of term(i) for i below `count`.
template <typename Term>
double sum_of(std::int64_t count, const Term& term) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(term(i));
  return sum;
}

/// Compares some elements of a (rows, columns) tensor, its corners among them.
template <typename Expected>
void expect_elements(const Tensor& tensor, const char* name, const Expected& expected) {
  const std::int64_t rows = tensor.shape()[0], columns = tensor.shape()[1];
  const std::vector<float> values = tensor.to_host<float>();
  const auto check_element = [&](std::int64_t row, std::int64_t column) {
    EXPECT_EQ(static_cast<double>(values[static_cast<std::size_t>(row * columns + column)]), expected(row, column))
        << name << " (" << row << ", " << column << ")";
  };
  for (const std::int64_t row : {std::int64_t{0}, rows - 1})
    for (const std::int64_t column : {std::int64_t{0}, columns - 1}) check_element(row, column);
  PhiloxSequence sequence(5, RandomStream::kTest, 0);
  for (int i = 0; i < 200; ++i) {
    const auto row = sequence.below(static_cast<std::uint32_t>(rows));
    check_element(row, sequence.below(static_cast<std::uint32_t>(columns)));
  }
}

class LargeLinearTest : public DeviceTest {};

TEST_P(LargeLinearTest, AgreesWithSampledSums) {
  const Variable x = parameter_of(backend(), {kRows, kInputs}, values_of(kRows * kInputs, kX));
  const Variable weight = parameter_of(backend(), {kOutputs, kInputs}, values_of(kOutputs * kInputs, kWeight));
  const Variable bias = parameter_of(backend(), {kOutputs}, values_of(kOutputs, kBias));
  Variable y;
  try {
    y = linear(x, weight, bias);
  } catch (const Error& error) {  // a machine with a GPU need not have cuBLAS, which is loaded at run time
    if (!std::string_view(error.what()).starts_with("libcublas")) throw;
    GTEST_SKIP() << error.what();
  }
  y.backward(tensor_of(backend(), {kRows, kOutputs}, values_of(kRows * kOutputs, kGradY)));

  expect_elements(y.value(), "y", [](std::int64_t row, std::int64_t output) {
    return static_cast<double>(value_at(output, kBias)) +
           sum_of(kInputs, [=](std::int64_t i) { return x_at(row, i) * weight_at(output, i); });
  });
  expect_elements(x.grad(), "gradient of x", [](std::int64_t row, std::int64_t input) {
    return sum_of(kOutputs, [=](std::int64_t i) { return grad_y_at(row, i) * weight_at(i, input); });
  });
  expect_elements(weight.grad(), "gradient of weight", [](std::int64_t output, std::int64_t input) {
    return sum_of(kRows, [=](std::int64_t i) { return grad_y_at(i, output) * x_at(i, input); });
  });
}

// The library that computes the product cannot be loaded inside a capture.
TEST_P(LargeLinearTest, MustNotComeFirstInALaterReplay) {
  if (backend().device().kind == DeviceKind::kCpu) return;  // it captures nothing
  const Tensor x = Tensor::zeros(backend(), {kRows, kInputs}), weight = Tensor::zeros(backend(), {kOutputs, kInputs});
  const Tensor y = Tensor::empty(backend(), {kRows, kOutputs});
  bool first = true;
  const std::unique_ptr<Recording> recording = backend().record([&] {
    if (!std::exchange(first, false)) backend().linear_forward(x, weight, {}, y);
  });
  recording->replay();
  EXPECT_EQ(error_of([&] { recording->replay(); }),
            "a recording's first replay must do the same work as the later ones: it had no large matrix product");
}

INSTANTIATE_TEST_SUITE_P(Devices, LargeLinearTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
