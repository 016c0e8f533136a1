// SPDX-License-Identifier: MIT
#include "gradamp/optim/parameter_arena.h"

#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/optim/optim_support.h"

namespace gradamp {
namespace {

using test::SmallNet;
using ::testing::Each;
using ::testing::HasSubstr;

class ParameterArenaTest : public test::DeviceTest {};

TEST_P(ParameterArenaTest, LaysOutLayersInAlignedRanges) {
  SmallNet network(backend());
  const ParameterArena arena(network);
  ASSERT_EQ(arena.layers().size(), 4u);
  EXPECT_EQ(arena.parameter_count(), 135 + 5 + 5 + 5 + 315 + 2107 + 301);
  const std::vector<std::string> names = {"conv1", "bn1", "conv2", "linear"};
  const std::vector<std::int64_t> counts = {140, 10, 315, 2408}, neurons = {5, 5, 7, 301}, rows = {27, 1, 45, 7};
  std::int64_t end = 0, neuron_end = 0;
  for (std::size_t l = 0; l < 4; ++l) {
    const ArenaLayer& layer = arena.layers()[l];
    const LayerRange& range = arena.arena().layers.ranges()[l];
    EXPECT_EQ(layer.name, names[l]);
    EXPECT_EQ(range.begin, end);
    EXPECT_EQ(range.begin % kArenaChunk, 0);
    EXPECT_EQ(range.end % kArenaChunk, 0);
    EXPECT_EQ(range.count, counts[l]);
    EXPECT_EQ(range.neurons, neurons[l]);
    EXPECT_EQ(range.row_length, rows[l]);
    EXPECT_EQ(range.neuron_begin, neuron_end);
    EXPECT_EQ(range.weight_offset, layer.parameters[0].begin);
    EXPECT_EQ(range.bias_offset, layer.parameters.size() == 2 ? layer.parameters[1].begin : -1);
    for (const ArenaParameter& parameter : layer.parameters) EXPECT_EQ(parameter.begin % kArenaAlignment, 0);
    end = range.end;
    neuron_end += range.neurons;
  }
  EXPECT_EQ(arena.layers()[0].parameters[0].name, "conv1.weight");
  EXPECT_EQ(arena.layers()[3].parameters[1].name, "linear.bias");
  EXPECT_EQ(arena.layers()[1].type, LayerType::kBatchNorm);
  EXPECT_EQ(arena.arena().layers.neurons(), neuron_end);
  EXPECT_EQ(arena.arena().weights.count(), end);
  EXPECT_EQ(arena.arena().gradients.count(), end);
  EXPECT_EQ(arena.arena().momentum.count(), end);
}

TEST_P(ParameterArenaTest, MovesTheValuesAndSharesTheMemory) {
  SmallNet network(backend()), untouched(backend());
  const ParameterArena arena(network);
  const std::vector<NamedParameter> moved = network.named_parameters(), original = untouched.named_parameters();
  const std::vector<bool> real = test::real_elements(arena);
  for (std::size_t i = 0; i < moved.size(); ++i) {
    EXPECT_EQ(test::bits_of(moved[i].variable.value()), test::bits_of(original[i].variable.value()));
    EXPECT_EQ(moved[i].variable.shape(), original[i].variable.shape());
  }
  const std::vector<float> weights = arena.arena().weights.to_host<float>();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!real[i]) {
      EXPECT_EQ(weights[i], 0.0f) << i;
    }
  }
  // The arena is the network's memory, not a copy of it.
  const std::vector<float> nines(9 * 15 + 0, 9.0f);
  moved[0].variable.value().copy_from_host(std::span<const float>(nines));
  EXPECT_EQ(arena.arena().weights.view({135}).to_host<float>(), nines);
}

TEST_P(ParameterArenaTest, ABackwardWritesIntoTheArenaAndLeavesPaddingZero) {
  SmallNet network(backend()), plain(backend());
  ParameterArena arena(network);
  const Tensor image = test::normal_tensor(backend(), {2, 5, 5, 3}, 50);
  const Tensor seed = test::normal_tensor(backend(), {2, 301}, 51);
  for (int step = 0; step < 2; ++step) {  // twice: a second step does not add to the first
    arena.begin_step();
    network.forward(Variable(image), Mode::kTraining).backward(seed);
    arena.finish_gradients();
  }
  plain.forward(Variable(image), Mode::kTraining).backward(seed);
  const std::vector<NamedParameter> expected = plain.named_parameters();
  std::size_t i = 0;
  for (const ArenaLayer& layer : arena.layers()) {
    for (const ArenaParameter& parameter : layer.parameters) {
      const Tensor part = arena.arena().gradients.view({parameter.count}, parameter.begin);
      EXPECT_EQ(test::bits_of(part), test::bits_of(expected[i++].variable.grad())) << parameter.name;
    }
  }
  const std::vector<float> gradients = arena.arena().gradients.to_host<float>();
  const std::vector<bool> real = test::real_elements(arena);
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    if (!real[k]) {
      EXPECT_EQ(gradients[k], 0.0f) << k;
    }
  }
}

TEST_P(ParameterArenaTest, AParameterWithoutAGradientGetsZeros) {
  SmallNet network(backend());
  const ParameterArena arena(network);
  test::make_gradients(arena, 0);  // left over from an earlier step
  arena.begin_step();
  const Variable& bias = arena.layers()[3].parameters[1].variable;
  bias.receive_grad(test::filled(backend(), 301, 2.0f));
  arena.finish_gradients();
  EXPECT_THAT(bias.grad().to_host<float>(), Each(2.0f));
  for (const ArenaLayer& layer : arena.layers()) {
    for (const ArenaParameter& parameter : layer.parameters) {
      if (parameter.name == "linear.bias") continue;
      EXPECT_THAT(parameter.variable.grad().to_host<float>(), Each(0.0f)) << parameter.name;
    }
  }
}

TEST_P(ParameterArenaTest, AllocatesSumsWhenAsked) {
  SmallNet network(backend());
  ParameterArena arena(network);
  EXPECT_FALSE(arena.arena().signed_sums.defined());
  arena.enable_statistics(Granularity::kWeight);
  EXPECT_EQ(arena.arena().signed_sums.count(), arena.arena().weights.count());
  EXPECT_THAT(arena.arena().absolute_sums.to_host<float>(), Each(0.0f));
  arena.enable_statistics(Granularity::kNeuron);
  EXPECT_EQ(arena.arena().absolute_sums.count(), 5 + 5 + 7 + 301);
  const std::vector<float> ones(318, 1.0f);
  arena.arena().signed_sums.copy_from_host(std::span<const float>(ones));
  arena.enable_statistics(Granularity::kNeuron);  // existing sums stay
  EXPECT_THAT(arena.arena().signed_sums.to_host<float>(), Each(1.0f));
  arena.clear_sums();
  EXPECT_THAT(arena.arena().signed_sums.to_host<float>(), Each(0.0f));
}

/// A parameter that belongs to no layer.
class Stray final : public Module {
 public:
  explicit Stray(Backend& backend) {
    add_module("linear", std::make_shared<Linear>(backend, 2, 2));
    add_parameter("scale", backend, {3});
  }
  Variable forward(const Variable& x, Mode) override { return x; }
};

TEST_P(ParameterArenaTest, RefusesWhatItCouldNotTrain) {
  Sequential empty;
  empty.append(std::make_shared<ReLU>());
  EXPECT_THAT(test::error_of([&] { ParameterArena arena(empty); }), HasSubstr("expected a network with parameters"));
  Stray stray(backend());
  EXPECT_THAT(test::error_of([&] { ParameterArena arena(stray); }), HasSubstr("parameter scale belongs to no"));
}

/// A layer of your own: three parameters, one of them a scalar, without a weight and bias.
class OwnLayer final : public Layer {
 public:
  explicit OwnLayer(Backend& backend) {
    add_parameter("gain", backend, {});
    add_parameter("table", backend, {2, 3, 4, 5});
    add_parameter("shift", backend, {7});
  }
  LayerType type() const override { return LayerType("own"); }
  Variable forward(const Variable& x, Mode) override { return x; }
};

TEST_P(ParameterArenaTest, TakesLayersOfOnesOwn) {
  Sequential network;
  network.append(std::make_shared<OwnLayer>(backend()));
  network.append(std::make_shared<Linear>(backend(), 2, 2));
  ParameterArena arena(network);
  EXPECT_STREQ(name_of(arena.layers()[0].type), "own");
  EXPECT_EQ(arena.layers()[0].parameters.size(), 3u);
  EXPECT_EQ(arena.layers()[0].range.count, 1 + 120 + 7);
  EXPECT_EQ(arena.layers()[0].range.neurons, 0);
  arena.enable_statistics(Granularity::kWeight);
  EXPECT_THAT(test::error_of([&] { arena.enable_statistics(Granularity::kNeuron); }),
              HasSubstr("layer 0: statistics by neuron need a weight"));
}

TEST_P(ParameterArenaTest, LeavesFrozenLayersAlone) {
  Sequential network;
  const auto frozen = network.append(std::make_shared<Linear>(backend(), 2, 3));
  network.append(std::make_shared<Linear>(backend(), 3, 2));
  frozen->freeze();
  const ParameterArena arena(network);
  ASSERT_EQ(arena.layers().size(), 1u);
  EXPECT_EQ(arena.layers()[0].name, "1");
  EXPECT_EQ(arena.parameter_count(), 3 * 2 + 2);
}

TEST_P(ParameterArenaTest, LeavesASingleFrozenParameterAlone) {
  Sequential network;
  const auto linear = network.append(std::make_shared<Linear>(backend(), 2, 3));
  linear->own_parameters()[0].variable.stop_gradient();
  const ParameterArena arena(network);
  ASSERT_EQ(arena.layers().at(0).parameters.size(), 1u);
  EXPECT_EQ(arena.layers()[0].parameters[0].name, "0.bias");
  EXPECT_EQ(arena.layers()[0].range.neurons, 3);
}

INSTANTIATE_TEST_SUITE_P(Devices, ParameterArenaTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
