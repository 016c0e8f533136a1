// SPDX-License-Identifier: MIT
// The elementwise functions on the host, each element by itself: the conformance test compares norms, in which the
// small results of the tails do not count.
#include "gradamp/core/unary_functions.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

namespace gradamp::test {
namespace {

struct UnaryRow {
  const char* name;
  UnaryFunction function;
  double min, max;  // between them value and derivative are normal f32 numbers
  double (*value)(double x);
  double (*derivative)(double x);
  double (*derivative_terms)(double x);  // the sum of the magnitudes of the derivative's terms
  double (*exponent)(double x);          // the exponent of the exponential, if it is rounded; else 0
  float (*value_far)(float x);           // the value if |x| is at least 200
  float (*derivative_far)(float x);

  friend void PrintTo(const UnaryRow& row, std::ostream* out) { *out << row.name; }
};

double sigmoid_derivative(double x) { return std::exp(-x) / std::pow(1 + std::exp(-x), 2); }

double normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }
double normal_distribution(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

const UnaryRow kRows[] = {
    {"sigmoid", UnaryFunction::kSigmoid, -87, 87, [](double x) { return 1 / (1 + std::exp(-x)); }, sigmoid_derivative,
     sigmoid_derivative, [](double) { return 0.0; }, [](float x) { return x < 0 ? 0.0f : 1.0f; },
     [](float) { return 0.0f; }},
    {"gelu", UnaryFunction::kGelu, -12.5, 12.5, [](double x) { return x * normal_distribution(x); },
     [](double x) { return normal_distribution(x) + x * normal_density(x); },
     [](double x) { return normal_distribution(x) + std::abs(x) * normal_density(x); }, [](double x) { return x * x; },
     [](float x) { return x < 0 ? 0.0f : x; }, [](float x) { return x < 0 ? 0.0f : 1.0f; }},
};

class UnaryFunctionTest : public ::testing::TestWithParam<UnaryRow> {};

/// Relative. A few operations round by 2^-24 each. An exponent that is off by 2^-24 of itself changes the exponential
/// by the exponent times 2^-24; two or three roundings go into it.
double tolerance(const UnaryRow& row, double x) { return 0x1p-24 * (8 + 3 * row.exponent(x)); }

TEST_P(UnaryFunctionTest, AgreesWithFloat64InEveryElement) {
  const UnaryRow& row = GetParam();
  with_function(row.function, [&](auto f) {
    for (int i = 0; i <= 10000; ++i) {
      const auto element = static_cast<float>(row.min + (row.max - row.min) * i / 10000);
      const double x = static_cast<double>(element);
      const double value = row.value(x), limit = tolerance(row, x);
      ASSERT_NEAR(static_cast<double>(f.value(element)), value, limit * std::abs(value)) << "at " << x;
      ASSERT_NEAR(static_cast<double>(f.derivative(element)), row.derivative(x), limit * row.derivative_terms(x))
          << "at " << x;
    }
  });
}

TEST_P(UnaryFunctionTest, DerivativeIsTheFiniteDifference) {
  const UnaryRow& row = GetParam();
  for (double x = -6; x <= 6; x += 0.01)
    ASSERT_NEAR(row.derivative(x), (row.value(x + 1e-5) - row.value(x - 1e-5)) / 2e-5, 1e-9) << "at " << x;
}

TEST_P(UnaryFunctionTest, FarFromZeroItHasItsLimits) {
  const UnaryRow& row = GetParam();
  with_function(row.function, [&](auto f) {
    for (const float x : {-3e38f, -1e20f, -200.0f, 200.0f, 1e20f, 3e38f}) {
      EXPECT_EQ(f.value(x), row.value_far(x)) << "at " << x;
      EXPECT_EQ(f.derivative(x), row.derivative_far(x)) << "at " << x;
    }
  });
}

TEST_P(UnaryFunctionTest, ANaNStays) {
  with_function(GetParam().function, [](auto f) {
    EXPECT_TRUE(std::isnan(f.value(std::numeric_limits<float>::quiet_NaN())));
    EXPECT_TRUE(std::isnan(f.derivative(std::numeric_limits<float>::quiet_NaN())));
  });
}

INSTANTIATE_TEST_SUITE_P(Functions, UnaryFunctionTest, ::testing::ValuesIn(kRows),
                         [](const auto& suite) { return std::string(suite.param.name); });

}  // namespace
}  // namespace gradamp::test
