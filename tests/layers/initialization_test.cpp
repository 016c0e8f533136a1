// SPDX-License-Identifier: MIT
#include "gradamp/layers/initialization.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "gradamp/layers/layers.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using Floats = std::vector<float>;

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments(const Floats& values) {
  Moments result;
  for (const float value : values) {
    result.mean += static_cast<double>(value);
    result.deviation += static_cast<double>(value) * static_cast<double>(value);
    result.largest = std::max(result.largest, std::abs(static_cast<double>(value)));
  }
  const double count = static_cast<double>(values.size());
  result.mean /= count;
  result.deviation = std::sqrt(result.deviation / count);
  return result;
}

class InitializationTest : public DeviceTest {
 protected:
  void SetUp() override {
    network_.append(std::make_shared<Conv2d>(backend(), 20, 64, 3, Conv2dParams{1, 1}, true));
    network_.append(std::make_shared<BatchNorm>(backend(), 64));
    network_.append(std::make_shared<Linear>(backend(), 64, 400));
    network_.append(std::make_shared<Conv2d>(backend(), 20, 64, 3, Conv2dParams{1, 1}));
  }
  Floats parameter(const std::string& name) {
    for (const NamedParameter& named : network_.named_parameters()) {
      if (named.name == name) return named.variable.value().to_host<float>();
    }
    fail("no parameter {}", name);
  }

  Sequential network_;
};

TEST_P(InitializationTest, PyTorchsDefaultIsUniform) {
  initialize(network_, Initialization::kPyTorch, 1);
  struct Expected {
    std::string name;
    double bound;
  };
  const double conv = 1 / std::sqrt(20.0 * 3 * 3), linear = 1 / std::sqrt(64.0);
  for (const auto& [name, bound] : {Expected{"0.weight", conv}, Expected{"0.bias", conv}, Expected{"2.weight", linear},
                                    Expected{"2.bias", linear}, Expected{"3.weight", conv}}) {
    const Floats values = parameter(name);
    const auto [mean, deviation, largest] = moments(values);
    const double count = static_cast<double>(values.size());
    EXPECT_LE(largest, bound * (1 + 1e-6)) << name;
    EXPECT_GE(largest, bound * (1 - 20 / count)) << name;
    EXPECT_NEAR(mean, 0, 5 * bound / std::sqrt(3 * count)) << name;
    EXPECT_NEAR(deviation, bound / std::sqrt(3.0), 3 * bound / std::sqrt(count)) << name;
  }
}

TEST_P(InitializationTest, HesIsNormalWithoutBias) {
  initialize(network_, Initialization::kHeNormal, 1);
  const double conv = std::sqrt(2 / (20.0 * 3 * 3)), linear = std::sqrt(2 / 64.0);
  for (const auto& [name, expected] :
       {std::pair{"0.weight", conv}, std::pair{"2.weight", linear}, std::pair{"3.weight", conv}}) {
    const Floats values = parameter(name);
    const auto [mean, deviation, largest] = moments(values);
    const double count = static_cast<double>(values.size());
    EXPECT_NEAR(mean, 0, 5 * expected / std::sqrt(count)) << name;
    EXPECT_NEAR(deviation, expected, 5 * expected / std::sqrt(2 * count)) << name;
    EXPECT_GT(largest, 3 * expected) << name << " has no tails";
  }
  EXPECT_EQ(parameter("0.bias"), Floats(64, 0.0f));
  EXPECT_EQ(parameter("2.bias"), Floats(400, 0.0f));
}

TEST_P(InitializationTest, BatchNormsBeginAsTheIdentity) {
  for (const Initialization way : {Initialization::kPyTorch, Initialization::kHeNormal}) {
    for (const NamedBuffer& buffer : network_.named_buffers()) {
      buffer.tensor.copy_from_host(std::span<const float>(Floats(64, 5.0f)));
    }
    initialize(network_, way, 1);
    EXPECT_EQ(parameter("1.weight"), Floats(64, 1.0f));
    EXPECT_EQ(parameter("1.bias"), Floats(64, 0.0f));
    EXPECT_EQ(network_.named_buffers()[0].tensor.to_host<float>(), Floats(64, 0.0f));
    EXPECT_EQ(network_.named_buffers()[1].tensor.to_host<float>(), Floats(64, 1.0f));
  }
}

TEST_P(InitializationTest, FollowsFromTheSeedAndThePlace) {
  initialize(network_, Initialization::kPyTorch, 1);
  const Floats first = parameter("0.weight"), last = parameter("3.weight");
  EXPECT_NE(first, last) << "two layers of one shape began alike";
  initialize(network_, Initialization::kPyTorch, 2);
  EXPECT_NE(parameter("0.weight"), first);
  initialize(network_, Initialization::kPyTorch, 1);
  EXPECT_EQ(parameter("0.weight"), first);
  // As documented: stream kInitialWeights; the substream is the index in named_parameters(), here 6 after 0.weight,
  // 0.bias, 1.weight, 1.bias, 2.weight and 2.bias.
  PhiloxSequence sequence(1, RandomStream::kInitialWeights, 6);
  const float bound = static_cast<float>(1 / std::sqrt(20.0 * 3 * 3));
  for (std::size_t i = 0; i < 100; ++i) EXPECT_NEAR(last[i], (2 * sequence.uniform() - 1) * bound, 1e-7f) << i;
}

/// A module whose parameters have their own names and initial values.
class Own final : public Module {
 public:
  Own(Backend& backend, std::size_t values) : values_(values) { add_parameter("alpha", backend, {4}); }
  Variable forward(const Variable& x, Mode) override { return x; }
  std::optional<std::vector<float>> initial_values(const NamedParameter& parameter,
                                                   PhiloxSequence& random) const override {
    EXPECT_EQ(parameter.name, "alpha");
    std::vector<float> values(values_, 0.25f);
    values.back() = random.uniform();
    return values;
  }

 private:
  std::size_t values_;
};

class Alpha final : public Module {
 public:
  explicit Alpha(Backend& backend) { add_parameter("alpha", backend, {4}); }
  Variable forward(const Variable& x, Mode) override { return x; }
};

TEST_P(InitializationTest, OnesOwnParametersBeginAsTheirModuleSays) {
  Own own(backend(), 4), again(backend(), 4), wrong(backend(), 3);
  initialize(own, Initialization::kPyTorch, 1);
  initialize(again, Initialization::kHeNormal, 1);
  const std::vector<float> values = own.own_parameters()[0].variable.value().to_host<float>();
  EXPECT_EQ(values[0], 0.25f);
  EXPECT_GT(values[3], 0);
  EXPECT_EQ(again.own_parameters()[0].variable.value().to_host<float>(), values);
  EXPECT_EQ(test::error_of([&] { initialize(wrong, Initialization::kPyTorch, 1); }),
            "'alpha' of the module '': expected 4 initial values, got 3");
  Alpha alpha(backend());
  EXPECT_NE(test::error_of([&] { initialize(alpha, Initialization::kPyTorch, 1); }).find("needs initial_values()"),
            std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Devices, InitializationTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
