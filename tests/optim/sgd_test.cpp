// SPDX-License-Identifier: MIT
// The update and its statistics against plain loops in float64, on layers that do not fill their chunks.
#include <cmath>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/optim/optim_support.h"

namespace gradamp {
namespace {

using test::SmallNet;
using ::testing::ElementsAre;

/// The formulas of optim/README.md, element by element.
struct Reference {
  std::vector<double> weights, momentum, signed_weight, absolute_weight, signed_neuron, absolute_neuron;

  explicit Reference(const Arena& arena)
      : weights(test::to_double(arena.weights.to_host<float>())),
        momentum(weights.size(), 0),
        signed_weight(weights.size(), 0),
        absolute_weight(weights.size(), 0),
        signed_neuron(static_cast<std::size_t>(arena.layers.neurons()), 0),
        absolute_neuron(signed_neuron) {}

  void step(const ParameterArena& arena, const std::vector<float>& factors, const SgdParams& params, double rate) {
    const std::vector<float> gradients = arena.arena().gradients.to_host<float>();
    std::size_t first_neuron = 0;
    for (std::size_t l = 0; l < arena.layers().size(); ++l) {
      const auto neurons = static_cast<std::size_t>(arena.layers()[l].parameters[0].variable.shape()[0]);
      std::vector<double> sums(neurons, 0);
      for (const ArenaParameter& parameter : arena.layers()[l].parameters) {
        const auto count = static_cast<std::size_t>(parameter.count);
        for (std::size_t k = 0; k < count; ++k) {
          const std::size_t i = static_cast<std::size_t>(parameter.begin) + k;
          const double g = static_cast<double>(gradients[i]);
          signed_weight[i] += g;
          absolute_weight[i] += std::abs(g);
          sums[k / (count / neurons)] += g;
          const double change = double{factors[l]} * g + double{params.weight_decay} * weights[i];
          momentum[i] = double{params.momentum} * momentum[i] + change;
          weights[i] -= rate * (params.nesterov ? change + double{params.momentum} * momentum[i] : momentum[i]);
        }
      }
      for (std::size_t k = 0; k < neurons; ++k) {
        signed_neuron[first_neuron + k] += sums[k];
        absolute_neuron[first_neuron + k] += std::abs(sums[k]);
      }
      first_neuron += neurons;
    }
  }
};

struct Bits {
  std::vector<std::uint32_t> weights, gradients, momentum, signed_sums, absolute_sums;
  friend bool operator==(const Bits&, const Bits&) = default;
};

Bits bits_of(const Arena& arena) {
  Bits bits{test::bits_of(arena.weights), test::bits_of(arena.gradients), test::bits_of(arena.momentum), {}, {}};
  if (arena.signed_sums.defined()) {
    bits.signed_sums = test::bits_of(arena.signed_sums);
    bits.absolute_sums = test::bits_of(arena.absolute_sums);
  }
  return bits;
}

class SgdTest : public test::DeviceTest {
 protected:
  /// Compares five steps with the reference.
  void expect_agrees(const SgdParams& params, const std::vector<float>& factors) {
    SmallNet network(backend());
    ParameterArena arena(network);
    if (params.accumulate) arena.enable_statistics(params.granularity);
    Reference reference(arena.arena());
    const StepState state = test::make_step_state(backend());  // learning rate 0.1
    const Tensor device_factors = test::tensor_of(backend(), {4}, factors);
    for (std::uint32_t step = 0; step < 5; ++step) {
      test::make_gradients(arena, step);
      backend().sgd_step(arena.arena(), device_factors, state, params);
      reference.step(arena, factors, params, double{0.1f});
    }
    // Five float32 sums of numbers of about 1, with a rounding error of 6e-8 each: about 2e-7.
    const Arena& result = arena.arena();
    EXPECT_TRUE(test::agrees(result.weights.to_host<float>(), reference.weights, 5e-7));
    EXPECT_TRUE(test::agrees(result.momentum.to_host<float>(), reference.momentum, 5e-7));
    EXPECT_EQ(state.counters.to_host<std::int64_t>()[kFirstBadStep], 0);
    if (!params.accumulate) return;
    const bool by_weight = params.granularity == Granularity::kWeight;
    EXPECT_TRUE(test::agrees(result.signed_sums.to_host<float>(),
                             by_weight ? reference.signed_weight : reference.signed_neuron, 5e-7));
    EXPECT_TRUE(test::agrees(result.absolute_sums.to_host<float>(),
                             by_weight ? reference.absolute_weight : reference.absolute_neuron, 5e-7));
  }
};

TEST_P(SgdTest, Plain) { expect_agrees({.momentum = 0, .weight_decay = 0}, {1, 1, 1, 1}); }

TEST_P(SgdTest, MomentumAndWeightDecay) { expect_agrees({.momentum = 0.9f, .weight_decay = 0.05f}, {1, 1, 1, 1}); }

TEST_P(SgdTest, Nesterov) {
  expect_agrees({.momentum = 0.9f, .weight_decay = 0.05f, .nesterov = true}, {1, 2, 0.5f, 1});
}

TEST_P(SgdTest, FactorsAmplifyTheGradientAndNotTheWeightDecay) {
  expect_agrees({.momentum = 0.9f, .weight_decay = 0.5f}, {1, 2, 3, 0.5f});
}

TEST_P(SgdTest, StatisticsByWeightAreOfTheRawGradient) {
  expect_agrees({.weight_decay = 0.05f, .accumulate = true, .granularity = Granularity::kWeight}, {2, 1, 4, 2});
}

TEST_P(SgdTest, StatisticsByNeuronAreOfTheRawGradient) {
  expect_agrees({.weight_decay = 0.05f, .accumulate = true, .granularity = Granularity::kNeuron}, {2, 1, 4, 2});
}

TEST_P(SgdTest, NesterovWithStatistics) {
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron})
    expect_agrees({.nesterov = true, .accumulate = true, .granularity = granularity}, {2, 1, 4, 2});
}

TEST_P(SgdTest, StatisticsChangeNoBitOfTheUpdate) {
  std::vector<Bits> results;
  for (const SgdParams& params : {SgdParams{}, SgdParams{.accumulate = true},
                                  SgdParams{.accumulate = true, .granularity = Granularity::kNeuron}}) {
    SmallNet network(backend());
    ParameterArena arena(network);
    if (params.accumulate) arena.enable_statistics(params.granularity);
    const StepState state = test::make_step_state(backend());
    for (std::uint32_t step = 0; step < 3; ++step) {
      test::make_gradients(arena, step);
      backend().sgd_step(arena.arena(), test::tensor_of(backend(), {4}, {1, 2, 1, 2}), state, params);
    }
    results.push_back(bits_of(arena.arena()));
  }
  for (const Bits& result : results) {
    EXPECT_EQ(result.weights, results[0].weights);
    EXPECT_EQ(result.momentum, results[0].momentum);
  }
}

TEST_P(SgdTest, TheSameBitsOnEveryRunAndNumberOfThreads) {
  const auto run = [](Backend& device, Granularity granularity) {
    SmallNet network(device);
    ParameterArena arena(network);
    arena.enable_statistics(granularity);
    const StepState state = test::make_step_state(device);
    for (std::uint32_t step = 0; step < 3; ++step) {
      test::make_gradients(arena, step);
      device.sgd_step(arena.arena(), test::tensor_of(device, {4}, {1, 2, 1, 2}), state,
                      {.accumulate = true, .granularity = granularity});
    }
    return bits_of(arena.arena());
  };
  const auto single = make_backend(GetParam().device, {.threads = 1});
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    const Bits first = run(backend(), granularity);
    EXPECT_EQ(run(backend(), granularity), first);
    EXPECT_EQ(run(*single, granularity), first);
  }
}

TEST_P(SgdTest, PaddingStaysZero) {
  SmallNet network(backend());
  ParameterArena arena(network);
  arena.enable_statistics(Granularity::kWeight);
  const StepState state = test::make_step_state(backend());
  for (std::uint32_t step = 0; step < 3; ++step) {
    test::make_gradients(arena, step);
    backend().sgd_step(arena.arena(), test::tensor_of(backend(), {4}, {1, 2, 1, 2}), state, {.accumulate = true});
  }
  const std::vector<bool> real = test::real_elements(arena);
  for (const Tensor& tensor : {arena.arena().weights, arena.arena().momentum, arena.arena().absolute_sums}) {
    const std::vector<float> values = tensor.to_host<float>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!real[i]) {
        ASSERT_EQ(values[i], 0.0f) << i;
      }
    }
  }
}

TEST_P(SgdTest, AGradientThatIsNotFiniteChangesNothing) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    for (const bool accumulate : {false, true}) {
      for (const float bad : {infinity, -infinity, nan, -nan}) {
        for (const std::size_t layer : {0, 1, 3}) {  // in a filter, in beta, in the last bias element of the arena
          SmallNet network(backend());
          ParameterArena arena(network);
          arena.enable_statistics(granularity);
          const StepState state = test::make_step_state(backend(), {.step = 41});
          const SgdParams params{.accumulate = accumulate, .granularity = granularity};
          const Tensor factors = test::filled(backend(), 4, 1.0f);
          test::make_gradients(arena, 0);
          backend().sgd_step(arena.arena(), factors, state, params);
          backend().advance_step(state, 8);
          test::make_gradients(arena, 1);
          const ArenaParameter& parameter = arena.layers()[layer].parameters.back();
          arena.arena()
              .gradients.view({1}, parameter.begin + parameter.count - 1)
              .copy_from_host(std::span<const float>(&bad, 1));
          const Bits before = bits_of(arena.arena());
          backend().sgd_step(arena.arena(), factors, state, params);
          EXPECT_EQ(bits_of(arena.arena()), before) << bad << " in layer " << layer;
          EXPECT_EQ(state.counters.to_host<std::int64_t>()[kFirstBadStep], 43);

          // From then on nothing changes, and the first bad step stays recorded.
          backend().advance_step(state, 8);
          test::make_gradients(arena, 2);
          const Bits later = bits_of(arena.arena());
          backend().sgd_step(arena.arena(), factors, state, params);
          EXPECT_EQ(bits_of(arena.arena()), later);
          EXPECT_EQ(state.counters.to_host<std::int64_t>()[kFirstBadStep], 43);
        }
      }
    }
  }
}

TEST_P(SgdTest, TheLargestFiniteGradientIsFinite) {
  for (const bool accumulate : {false, true}) {
    SmallNet network(backend());
    ParameterArena arena(network);
    arena.enable_statistics(Granularity::kNeuron);
    test::make_gradients(arena, 0);
    // The largest float in every weight of a neuron: their sum is beyond float32, but every gradient is finite.
    const std::vector<float> largest(7, std::numeric_limits<float>::max());
    const std::int64_t row = arena.layers()[3].parameters[0].begin;
    arena.arena().gradients.view({7}, row).copy_from_host(std::span<const float>(largest));
    const StepState state = test::make_step_state(backend());
    const SgdParams params{
        .momentum = 0, .weight_decay = 0, .accumulate = accumulate, .granularity = Granularity::kNeuron};
    backend().sgd_step(arena.arena(), test::filled(backend(), 4, 1.0f), state, params);
    EXPECT_EQ(state.counters.to_host<std::int64_t>()[kFirstBadStep], 0);
    EXPECT_LT(arena.arena().weights.view({1}, row).to_host<float>()[0], -1e37f);
  }
}

TEST_P(SgdTest, AdvanceStepCountsStepsAndImages) {
  const StepState state = test::make_step_state(backend(), {.seed = 3, .epoch = 2, .step = 10, .position = 256});
  backend().advance_step(state, 128);
  backend().advance_step(state, 80);
  EXPECT_THAT(state.counters.to_host<std::int64_t>(), ElementsAre(3, 2, 12, 464, 0));
}

class SgdInBf16Test : public testing::TestWithParam<test::TestDevice> {};

TEST_P(SgdInBf16Test, MaintainsTheRoundedCopyOfTheWeights) {
  test::TestDevice device = GetParam();
  device.options.precision = Precision::kBF16;
  const std::unique_ptr<Backend> backend = device.make();
  for (const SgdParams& params : {SgdParams{}, SgdParams{.nesterov = true, .accumulate = true},
                                  SgdParams{.accumulate = true, .granularity = Granularity::kNeuron}}) {
    SmallNet network(*backend);
    ParameterArena arena(network);
    if (params.accumulate) arena.enable_statistics(params.granularity);
    const StepState state = test::make_step_state(*backend);
    for (std::uint32_t step = 0; step < 3; ++step) {
      std::vector<float> rounded = arena.arena().weights.to_host<float>();
      test::round_to_bf16(rounded);
      EXPECT_THAT(arena.arena().weights_bf16.to_host<Bf16>(), testing::Pointwise(testing::Eq(), rounded));
      test::make_gradients(arena, step);
      backend->sgd_step(arena.arena(), test::tensor_of(*backend, {4}, {1, 2, 1, 2}), state, params);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, SgdInBf16Test, ::testing::ValuesIn(test::devices()), test::device_name);
INSTANTIATE_TEST_SUITE_P(Devices, SgdTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
