// SPDX-License-Identifier: MIT
// The network and the gradients of the recorded synthetic epoch (tests/oracle/README.md).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/layers/layers.h"
#include "gradamp/tests/oracle/recorded.h"

namespace gradamp::test {

inline constexpr std::uint32_t kGradientSubstream = 10000;

/// 2u - 1 for the first numbers u of a substream.
inline std::vector<float> symmetric_values(std::uint32_t substream, std::int64_t count) {
  PhiloxSequence random(oracle::kSeed, RandomStream::kTest, substream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = 2 * random.uniform() - 1;
  return values;
}

/// The layers of a recorded synthetic epoch. Only their order and shapes matter.
class MadeUpNetwork final : public Module {
 public:
  MadeUpNetwork(Backend& backend, const nlohmann::json& recorded) {
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const nlohmann::json& tensor : recorded.at("tensors"))
      shapes[tensor.at("name")] = tensor.at("shape").get<std::vector<std::int64_t>>();
    for (const nlohmann::json& layer : recorded.at("layers")) {
      const std::string name = layer.at("name");
      const std::vector<std::int64_t>& shape = shapes.at(name + ".weight");
      const bool bias = layer.at("parameters").size() == 2;
      if (layer.at("type") == "conv") {
        const int kernel = static_cast<int>(shape.at(2));
        add_module(name, std::make_shared<Conv2d>(backend, shape[1], shape[0], kernel, Conv2dParams{}, bias));
      } else if (layer.at("type") == "bn") {
        add_module(name, std::make_shared<BatchNorm>(backend, shape[0]));
      } else {
        add_module(name, std::make_shared<Linear>(backend, shape[1], shape[0], bias));
      }
    }
  }
  Variable forward(const Variable& x, Mode) override { return x; }
};

/// The gradient of a synthetic tensor at a step, in PyTorch's order; see MadeTensor in tests/oracle/method.py.
inline std::vector<float> made_gradient(const nlohmann::json& tensor, std::uint32_t ordinal, std::uint32_t step,
                                        std::int64_t count) {
  const bool negated = tensor.at("alternating").get<bool>() && step % 2 == 1;
  const std::uint32_t drawn = negated ? step - 1 : step;
  std::vector<float> values = symmetric_values(kGradientSubstream + 100 * drawn + ordinal, count);
  const float scale = tensor.at("scale").get<float>(), drift = tensor.at("drift").get<float>();
  const std::array<float, 3> powers = {1, 2, 4};
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (negated ? -values[i] : values[i]) * (scale * powers[i % 3]) + drift;
  return values;
}

inline void expect_first(const std::vector<float>& values, const nlohmann::json& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(values[i], expected[i].get<float>(), 1e-6);
}

/// Gives the network its recorded initial weights.
inline void set_made_weights(Module& network, const nlohmann::json& tensors) {
  std::uint32_t ordinal = 0;
  for (const NamedParameter& parameter : network.named_parameters()) {
    const Shape& shape = parameter.variable.shape();
    std::vector<float> values = symmetric_values(oracle::kParameterSubstream + ordinal, shape.count());
    for (float& value : values) value *= 0.5f;
    ASSERT_EQ(parameter.name, tensors.at(ordinal).at("name"));
    expect_first(values, tensors[ordinal++].at("initial_first"));
    values = from_pytorch_layout(shape, values);
    parameter.variable.value().copy_from_host(std::span<const float>(values));
  }
}

/// Hands the network's parameters their gradients of a step of `steps`. Call the arena's begin_step() before it.
inline void receive_made_gradients(Module& network, const nlohmann::json& tensors, std::uint32_t step,
                                   std::uint32_t steps) {
  std::uint32_t ordinal = 0;
  for (const NamedParameter& parameter : network.named_parameters()) {
    const nlohmann::json& tensor = tensors[ordinal];
    const Shape& shape = parameter.variable.shape();
    const std::vector<float> gradient = made_gradient(tensor, ordinal++, step, shape.count());
    if (step == 0) expect_first(gradient, tensor.at("gradient_first"));
    if (step + 1 == steps) expect_first(gradient, tensor.at("last_gradient_first"));
    if (tensor.at("scale") == 0.0) continue;  // receives no gradient: zeros
    Backend& backend = parameter.variable.backend();
    parameter.variable.receive_grad(Tensor::from_host(backend, shape, from_pytorch_layout(shape, gradient)));
  }
}

/// Compares a tensor of parameter `ordinal` with its recorded sketch.
inline ::testing::AssertionResult matches_sketch(const Tensor& tensor, const nlohmann::json& sketch,
                                                 std::uint32_t ordinal, double tolerance) {
  const oracle::Difference difference =
      oracle::compare(oracle::host_values(tensor), sketch, oracle::kSignSubstream + ordinal);
  if (difference.relative() <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << sketch.at("name") << ": relative error " << difference.relative()
                                       << " (limit " << tolerance << ")";
}

}  // namespace gradamp::test
