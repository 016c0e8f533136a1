// SPDX-License-Identifier: MIT
#include "gradamp/layers/initialization.h"

#include <cmath>
#include <numbers>

#include "gradamp/core/philox.h"

namespace gradamp {
namespace {

/// Draws a standard normal number by the Box-Muller method.
float draw_normal(PhiloxSequence& random) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - double{random.uniform()}));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * double{random.uniform()}));
}

void fill(const Tensor& tensor, const std::vector<float>& values) {
  tensor.copy_from_host(std::span<const float>(values));
}

std::vector<float> draw(std::int64_t count, std::int64_t fan_in, Initialization initialization, bool is_weight,
                        PhiloxSequence random) {
  std::vector<float> values(static_cast<std::size_t>(count), 0.0f);
  const double fan = static_cast<double>(fan_in);
  if (initialization == Initialization::kPyTorch) {
    const float bound = static_cast<float>(1.0 / std::sqrt(fan));
    for (float& value : values) value = (2.0f * random.uniform() - 1.0f) * bound;
  } else if (is_weight) {
    const float deviation = static_cast<float>(std::sqrt(2.0 / fan));
    for (float& value : values) value = draw_normal(random) * deviation;
  }
  return values;
}

}  // namespace

void initialize(Module& network, Initialization initialization, std::uint64_t seed) {
  std::uint32_t place = 0;
  network.for_each([&](const std::string& module_name, Module& module) {
    const auto* layer = dynamic_cast<const Layer*>(&module);
    const bool is_norm = layer != nullptr && layer->type() == LayerType::kBatchNorm;
    std::int64_t fan_in = 0;
    for (const NamedParameter& parameter : module.own_parameters()) {
      const Tensor& value = parameter.variable.value();
      const bool is_weight = parameter.name == "weight" && value.shape().rank() > 0;
      const std::uint32_t substream = place++;
      PhiloxSequence random(seed, RandomStream::kInitialWeights, substream);
      if (const auto values = module.initial_values(parameter, random)) {
        check(static_cast<std::int64_t>(values->size()) == value.count(),
              "'{}' of the module '{}': expected {} initial values, got {}", parameter.name, module_name, value.count(),
              values->size());
        fill(value, *values);
        continue;
      }
      if (is_norm) {
        fill(value, std::vector<float>(static_cast<std::size_t>(value.count()), is_weight ? 1.0f : 0.0f));
        continue;
      }
      if (is_weight) fan_in = value.count() / value.shape()[0];
      check(fan_in > 0,
            "'{}' of the module '{}': a parameter other than a 'weight' and the 'bias' after it needs "
            "initial_values() of its module",
            parameter.name, module_name);
      fill(value, draw(value.count(), fan_in, initialization, is_weight, random));
    }
    for (const NamedBuffer& buffer : module.own_buffers()) {
      const float start = buffer.name == "running_var" ? 1.0f : 0.0f;
      fill(buffer.tensor, std::vector<float>(static_cast<std::size_t>(buffer.tensor.count()), start));
    }
  });
}

}  // namespace gradamp
