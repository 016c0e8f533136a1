// SPDX-License-Identifier: MIT
// A small network with every kind of layer on odd sizes, and synthetic gradients for its arena.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gradamp/layers/layers.h"
#include "gradamp/optim/parameter_arena.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {

/// Layers with parameters, in order: conv1 (with bias), bn1, conv2 (without), linear. No size is a multiple of 16.
class SmallNet final : public Module {
 public:
  explicit SmallNet(Backend& backend)
      : conv1_(add_module("conv1", std::make_shared<Conv2d>(backend, 3, 5, 3, Conv2dParams{1, 1}, true))),
        bn1_(add_module("bn1", std::make_shared<BatchNorm>(backend, 5))),
        relu1_(add_module("relu1", std::make_shared<ReLU>())),
        conv2_(add_module("conv2", std::make_shared<Conv2d>(backend, 5, 7, 3, Conv2dParams{2, 1}))),
        relu2_(add_module("relu2", std::make_shared<ReLU>())),
        linear_(add_module("linear", std::make_shared<Linear>(backend, 7, 301))) {
    std::uint32_t substream = 0;
    for (const NamedParameter& parameter : named_parameters()) {
      const Tensor& value = parameter.variable.value();
      value.copy_from_host(std::span<const float>(normal_values(value.count(), ++substream)));
    }
  }
  Variable forward(const Variable& x, Mode mode) override {
    const Variable y = bn1_->forward(conv1_->forward(x, mode), mode, relu1_.get());
    return linear_->forward(global_avg_pool(relu2_->forward(conv2_->forward(y, mode), mode)), mode);
  }

 private:
  std::shared_ptr<Conv2d> conv1_;
  std::shared_ptr<BatchNorm> bn1_;
  std::shared_ptr<ReLU> relu1_;
  std::shared_ptr<Conv2d> conv2_;
  std::shared_ptr<ReLU> relu2_;
  std::shared_ptr<Linear> linear_;
};

/// Writes normal values as the parameters' gradients, different for every `step`; padding stays zero.
inline void make_gradients(const ParameterArena& arena, std::uint32_t step) {
  std::uint32_t substream = 1000 * (step + 1);
  for (const ArenaLayer& layer : arena.layers()) {
    for (const ArenaParameter& parameter : layer.parameters) {
      const std::vector<float> values = normal_values(parameter.count, ++substream);
      parameter.variable.grad().copy_from_host(std::span<const float>(values));
    }
  }
}

/// Whether each element of the arena is a parameter's, not padding.
inline std::vector<bool> real_elements(const ParameterArena& arena) {
  std::vector<bool> real(static_cast<std::size_t>(arena.arena().weights.count()), false);
  for (const ArenaLayer& layer : arena.layers())
    for (const ArenaParameter& parameter : layer.parameters)
      for (std::int64_t i = 0; i < parameter.count; ++i) real[static_cast<std::size_t>(parameter.begin + i)] = true;
  return real;
}

inline Tensor filled(Backend& backend, std::int64_t count, float value) {
  return tensor_of(backend, {count}, std::vector<float>(static_cast<std::size_t>(count), value));
}

/// An arena with given sums, without a network: layer l has signed_sums[l] and absolute_sums[l], one element per weight
/// and per neuron.
inline Arena arena_of_sums(Backend& backend, const std::vector<std::vector<float>>& signed_sums,
                           const std::vector<std::vector<float>>& absolute_sums) {
  std::vector<LayerRange> ranges;
  std::int64_t length = 0, neurons = 0;
  for (const std::vector<float>& sums : signed_sums) {
    LayerRange range;
    range.begin = range.weight_offset = length;
    range.count = range.neurons = static_cast<std::int64_t>(sums.size());
    range.end = length += (range.count + kArenaChunk - 1) / kArenaChunk * kArenaChunk;
    range.row_length = 1;
    range.neuron_begin = neurons;
    neurons += range.neurons;
    ranges.push_back(range);
  }
  const auto place = [&](const std::vector<std::vector<float>>& sums) {
    std::vector<float> flat(static_cast<std::size_t>(length), 0);
    for (std::size_t l = 0; l < sums.size(); ++l)
      std::copy(sums[l].begin(), sums[l].end(), flat.begin() + ranges[l].begin);
    return tensor_of(backend, {length}, flat);
  };
  Arena arena;
  arena.layers = LayerTable(backend, ranges);
  arena.signed_sums = place(signed_sums);
  arena.absolute_sums = place(absolute_sums);
  return arena;
}

}  // namespace gradamp::test
