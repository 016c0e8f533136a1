// SPDX-License-Identifier: MIT
// What AdamW, SGD with the decay of some weights only, and the clipping of gradients do beside the update itself, which
// recipes_test.cpp compares with PyTorch: statistics, gradients that are not finite, padding, the copy in bf16.
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/optim/optim_support.h"

namespace gradamp {
namespace {

using test::SmallNet;
using TensorBits = std::vector<std::uint32_t>;

/// A network's arena with the state of every rule, and steps of one rule.
struct RuleRun {
  RuleRun(Backend& on, bool is_adamw, bool with_clipping = false)
      : backend(on), network(on), arena(network), adamw(is_adamw), clipping(with_clipping) {
    arena.enable_second_moments();
    arena.exempt_norms_and_biases();
  }

  void step(std::uint32_t index, bool accumulate, Granularity granularity = Granularity::kWeight) {
    test::make_gradients(arena, index);
    update(accumulate, granularity);
    backend.advance_step(state, 8);
  }
  void update(bool accumulate, Granularity granularity) const {
    const Tensor scale = clipping ? Tensor::zeros(backend, {1}) : Tensor();
    if (clipping) backend.clip_scale(arena.arena().gradients, 0.1, scale);
    if (adamw)
      return backend.adamw_step(arena.arena(), factors, scale, state,
                                {.weight_decay = 0.1f, .accumulate = accumulate, .granularity = granularity});
    const Tensor clipped = Tensor::zeros(backend, {4});
    if (clipping) backend.scale(factors, scale, 0, clipped);
    backend.sgd_step(arena.arena(), clipping ? clipped : factors, state,
                     {.weight_decay = 0.1f, .accumulate = accumulate, .granularity = granularity});
  }
  std::vector<TensorBits> bits() const {
    std::vector<TensorBits> bits;
    for (const Tensor& tensor : {arena.arena().weights, arena.arena().momentum, arena.arena().second_moments,
                                 arena.arena().signed_sums, arena.arena().absolute_sums})
      bits.push_back(tensor.defined() ? test::bits_of(tensor) : TensorBits());
    return bits;
  }

  Backend& backend;
  SmallNet network;
  ParameterArena arena;
  bool adamw, clipping;
  StepState state = test::make_step_state(backend);
  Tensor factors = test::tensor_of(backend, {4}, {1, 2, 1, 2});
};

class UpdateRuleTest : public test::DeviceTest {};

TEST_P(UpdateRuleTest, StatisticsAreThoseOfTheRawGradientAndChangeNoBitOfTheUpdate) {
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    // Sums of plain SGD, which sgd_test.cpp compares with float64.
    SmallNet network(backend());
    ParameterArena arena(network);
    arena.enable_statistics(granularity);
    const StepState state = test::make_step_state(backend());
    for (std::uint32_t step = 0; step < 3; ++step) {
      test::make_gradients(arena, step);
      backend().sgd_step(arena.arena(), test::filled(backend(), 4, 1.0f), state,
                         {.accumulate = true, .granularity = granularity});
    }
    for (const bool adamw : {false, true}) {
      for (const bool clipping : {false, true}) {
        RuleRun with(backend(), adamw, clipping), without(backend(), adamw, clipping);
        with.arena.enable_statistics(granularity);
        for (std::uint32_t step = 0; step < 3; ++step) {
          with.step(step, true, granularity);
          without.step(step, false);
        }
        EXPECT_EQ(test::bits_of(with.arena.arena().signed_sums), test::bits_of(arena.arena().signed_sums));
        EXPECT_EQ(test::bits_of(with.arena.arena().absolute_sums), test::bits_of(arena.arena().absolute_sums));
        for (int i = 0; i < 3; ++i)
          EXPECT_EQ(with.bits()[static_cast<std::size_t>(i)], without.bits()[static_cast<std::size_t>(i)]);
      }
    }
  }
}

TEST_P(UpdateRuleTest, AGradientThatIsNotFiniteChangesNothing) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
      for (const bool adamw : {false, true}) {
        for (const bool clipping : {false, true}) {
          RuleRun run(backend(), adamw, clipping);
          run.arena.enable_statistics(granularity);
          run.step(0, true, granularity);
          const auto before = run.bits();
          test::make_gradients(run.arena, 1);
          const ArenaParameter& parameter = run.arena.layers()[3].parameters.back();
          run.arena.arena()
              .gradients.view({1}, parameter.begin + parameter.count - 1)
              .copy_from_host(std::span<const float>(&bad, 1));
          run.update(true, granularity);
          EXPECT_EQ(run.bits(), before);
          EXPECT_EQ(run.state.counters.to_host<std::int64_t>()[kFirstBadStep], 2);
          run.step(2, true, granularity);
          EXPECT_EQ(run.bits(), before) << "after the bad step";
        }
      }
    }
  }
}

TEST_P(UpdateRuleTest, PaddingStaysZero) {
  for (const bool adamw : {false, true}) {
    RuleRun run(backend(), adamw);
    for (std::uint32_t step = 0; step < 2; ++step) run.step(step, false);
    const std::vector<bool> real = test::real_elements(run.arena);
    for (const Tensor& tensor :
         {run.arena.arena().weights, run.arena.arena().momentum, run.arena.arena().second_moments}) {
      const std::vector<float> values = tensor.to_host<float>();
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (!real[i]) {
          ASSERT_EQ(values[i], 0.0f) << i;
        }
      }
    }
  }
}

TEST_P(UpdateRuleTest, TheDecayIsThatOfWeightsAndNotOfNormsAndBiases) {
  RuleRun run(backend(), false);
  const std::vector<float> before = run.arena.arena().weights.to_host<float>();
  run.arena.arena().gradients.fill_zero();
  run.update(false, Granularity::kWeight);
  const std::vector<float> after = run.arena.arena().weights.to_host<float>();
  int decaying = 0, others = 0;
  for (const ArenaLayer& layer : run.arena.layers()) {
    for (const ArenaParameter& parameter : layer.parameters) {
      const bool decays = parameter.variable.shape().rank() > 1;
      (decays ? decaying : others) += 1;
      for (std::int64_t i = parameter.begin; i < parameter.begin + parameter.count; ++i)
        EXPECT_EQ(after[static_cast<std::size_t>(i)] != before[static_cast<std::size_t>(i)], decays) << parameter.name;
    }
  }
  EXPECT_EQ(decaying, 3);
  EXPECT_EQ(others, 4);  // two of the batch norm, two biases
}

TEST_P(UpdateRuleTest, ClippingIsOfTheNormOfAllGradients) {
  constexpr std::int64_t kCount = 256 * 1237;  // more than the partial sums of a GPU's first pass
  std::vector<float> values = test::normal_values(kCount, 1);
  double square = 0;
  for (const float value : values) square += double{value} * double{value};
  const Tensor scale = Tensor::zeros(backend(), {1});
  const auto scale_for = [&](double max_norm) {
    backend().clip_scale(test::tensor_of(backend(), {kCount}, values), max_norm, scale);
    return scale.to_host<float>()[0];
  };
  EXPECT_FLOAT_EQ(scale_for(3), static_cast<float>(3 / (std::sqrt(square) + 1e-6)));
  EXPECT_EQ(scale_for(std::sqrt(square) + 1e-3), 1.0f);
  const auto single = make_backend(GetParam().device, {.threads = 1});
  const Tensor other = Tensor::zeros(*single, {1});
  single->clip_scale(test::tensor_of(*single, {kCount}, values), 3, other);
  EXPECT_EQ(other.to_host<float>()[0], scale_for(3));
  values.back() = 3e38f;
  EXPECT_FLOAT_EQ(scale_for(3), 1e-38f) << "the square is beyond float32";
  values.back() = NAN;
  EXPECT_EQ(scale_for(3), 1.0f);
  values.assign(kCount, 0.0f);
  EXPECT_EQ(scale_for(3), 1.0f);
  EXPECT_FLOAT_EQ(scale_for(1e-7), 0.1f);  // 1e-6 beside a norm of 0
}

INSTANTIATE_TEST_SUITE_P(Devices, UpdateRuleTest, ::testing::ValuesIn(test::devices()), test::device_name);

class UpdateRuleInBf16Test : public testing::TestWithParam<test::TestDevice> {};

TEST_P(UpdateRuleInBf16Test, MaintainsTheRoundedCopyOfTheWeights) {
  test::TestDevice device = GetParam();
  device.options.precision = Precision::kBF16;
  const std::unique_ptr<Backend> backend = device.make();
  for (const bool adamw : {false, true}) {
    RuleRun run(*backend, adamw);
    run.arena.enable_statistics(Granularity::kWeight);
    for (std::uint32_t step = 0; step < 3; ++step) {
      run.step(step, step > 0);
      std::vector<float> rounded = run.arena.arena().weights.to_host<float>();
      test::round_to_bf16(rounded);
      EXPECT_THAT(run.arena.arena().weights_bf16.to_host<Bf16>(), testing::Pointwise(testing::Eq(), rounded));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, UpdateRuleInBf16Test, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
