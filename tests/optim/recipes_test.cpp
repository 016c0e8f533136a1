// SPDX-License-Identifier: MIT
// Schedules and other recipes of the optimizer, compared with 20 steps of PyTorch in float64 (tests/oracle/recipes.py).
// Two layers are amplified.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/optim/choices.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/optim/made_up_epoch.h"

namespace gradamp {
namespace {

using nlohmann::json;
using Bytes = std::vector<std::byte>;

OptimizerOptions options_of(const json& recorded, const json& recipe) {
  const json& values = recipe.at("options");
  OptimizerOptions options;
  options.schedule = choice_of<Schedule>(values.at("schedule").get<std::string>());
  options.strategy = parse_strategy(values.at("strategy").get<std::string>());
  options.peak_rate = values.at("peak_rate");
  options.warmup_steps = values.at("warmup_steps");
  options.steps_per_epoch = recorded.at("steps_per_epoch");
  options.sgd.momentum = values.at("momentum");
  options.sgd.nesterov = values.at("nesterov");
  options.sgd.weight_decay = values.at("weight_decay");
  options.update_rule = choice_of<UpdateRule>(values.at("optimizer").get<std::string>());
  options.beta1 = values.at("beta1");
  options.beta2 = values.at("beta2");
  options.epsilon = values.at("epsilon");
  options.decay_norm_bias = values.at("decay_norm_bias");
  options.clip_norm = values.at("clip_norm");
  options.selection.method = SelectionMethod::kNone;
  return options;
}

/// One run of a recipe over the synthetic gradients.
class RecipeRun {
 public:
  RecipeRun(Backend& backend, const json& recorded, const json& recipe)
      : made_up_(oracle::read("optim/recorded/made_up_epoch.json")),
        network_(backend, made_up_),
        state_(oracle::make_state(backend)),
        options_(options_of(recorded, recipe)) {
    test::set_made_weights(network_, made_up_.at("tensors"));
    optimizer_ = std::make_unique<Optimizer>(network_, state_, options_);
    std::vector<float> factors;
    for (const ArenaLayer& layer : optimizer_->arena().layers()) {
      const json& names = recorded.at("amplified");
      const bool amplified = std::find(names.begin(), names.end(), layer.name) != names.end();
      factors.push_back(amplified ? recorded.at("factor").get<float>() : 1.0f);
    }
    factors_ = std::move(factors);
  }

  /// Trains up to step `last`, which is not included.
  void train(std::uint32_t last) {
    const auto per_epoch = static_cast<std::uint32_t>(options_.steps_per_epoch);
    for (; steps_ < last; ++steps_) {
      if (steps_ % per_epoch == 0) {
        optimizer_->begin_epoch(static_cast<int>(steps_ / per_epoch) + 1);
        tensor("optimizer.factors").copy_from_host(std::span<const float>(factors_));
      }
      optimizer_->begin_step();
      test::receive_made_gradients(network_, made_up_.at("tensors"), steps_, 2 * per_epoch);
      optimizer_->step();
      state_.counters.backend().advance_step(state_, 1);
      rates_.push_back(state_.learning_rate.to_host<float>()[0]);
      if ((steps_ + 1) % per_epoch == 0) optimizer_->end_epoch();
    }
  }

  /// Continues where `other` is. It must be inside an epoch.
  void resume(const RecipeRun& other) {
    optimizer_->resume_epoch(static_cast<int>(other.steps_ / options_.steps_per_epoch) + 1, false);
    steps_ = other.steps_;
    for (const auto& [name, bytes] : other.bytes()) tensor(name).copy_bytes_from_host(bytes);
  }

  /// Everything that a checkpoint has.
  std::map<std::string, Bytes> bytes() const {
    std::map<std::string, Bytes> result;
    for (const NamedBuffer& named : tensors()) {
      Bytes& bytes = result[named.name];
      bytes.resize(named.tensor.bytes());
      named.tensor.copy_bytes_to_host(bytes);
    }
    return result;
  }

  Module& network() { return network_; }
  const Optimizer& optimizer() const { return *optimizer_; }
  const std::vector<float>& rates() const { return rates_; }

 private:
  std::vector<NamedBuffer> tensors() const {
    std::vector<NamedBuffer> tensors = optimizer_->state_tensors();
    tensors.push_back({"weights", optimizer_->arena().arena().weights});
    tensors.push_back({"counters", state_.counters});
    tensors.push_back({"learning_rate", state_.learning_rate});
    return tensors;
  }
  Tensor tensor(const std::string& name) const {
    for (const NamedBuffer& named : tensors())
      if (named.name == name) return named.tensor;
    fail("expected a tensor {}", name);
  }

  json made_up_;
  test::MadeUpNetwork network_;
  StepState state_;
  OptimizerOptions options_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<float> factors_, rates_;
  std::uint32_t steps_ = 0;  // done
};

class RecipesTest : public test::DeviceTest {
 protected:
  RecipesTest()
      : steps_(recorded_.at("epochs").get<std::uint32_t>() * recorded_.at("steps_per_epoch").get<std::uint32_t>()) {}

  const json recorded_ = oracle::read("optim/recorded/recipes.json");
  const std::uint32_t steps_;
};

TEST_P(RecipesTest, AgreeWithPyTorch) {
  ASSERT_EQ(steps_, 20u);
  for (const json& recipe : recorded_.at("recipes")) {
    SCOPED_TRACE(recipe.at("name").get<std::string>());
    RecipeRun run(backend(), recorded_, recipe);
    run.train(steps_);
    const auto rates = recipe.at("rates").get<std::vector<double>>();
    for (std::size_t i = 0; i < rates.size(); ++i)
      EXPECT_NEAR(run.rates()[i], rates[i], 2e-7 * rates[i]) << i;  // one rounding to float32, nine recorded digits
    std::uint32_t ordinal = 0;
    for (const NamedParameter& parameter : run.network().named_parameters()) {
      const json& sketch = recipe.at("weights")[ordinal];
      ASSERT_EQ(sketch.at("name"), parameter.name);
      EXPECT_TRUE(test::matches_sketch(parameter.variable.value(), sketch, ordinal++, 2e-6));  // 20 roundings
      const std::vector<float> values = oracle::host_values(parameter.variable.value());
      for (std::size_t i = 0; i < sketch.at("first").size(); ++i)
        EXPECT_NEAR(values[i], sketch["first"][i].get<double>(), 2e-6) << parameter.name << " " << i;
    }
  }
}

TEST_P(RecipesTest, ResumedInsideAnEpochEqualUninterrupted) {
  for (const json& recipe : recorded_.at("recipes")) {
    SCOPED_TRACE(recipe.at("name").get<std::string>());
    RecipeRun unbroken(backend(), recorded_, recipe), interrupted(backend(), recorded_, recipe),
        resumed(backend(), recorded_, recipe);
    unbroken.train(steps_);
    interrupted.train(7);
    resumed.resume(interrupted);
    resumed.train(steps_);
    EXPECT_EQ(resumed.bytes(), unbroken.bytes());
  }
}

TEST_P(RecipesTest, TheNumberOfThreadsChangesNoBit) {
  const auto single = make_backend(GetParam().device, {.threads = 1});
  const auto two = make_backend(GetParam().device, {.threads = 2});
  for (const json& recipe : recorded_.at("recipes")) {
    SCOPED_TRACE(recipe.at("name").get<std::string>());
    RecipeRun one(*single, recorded_, recipe), other(*two, recorded_, recipe);
    one.train(steps_);
    other.train(steps_);
    EXPECT_EQ(one.bytes(), other.bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, RecipesTest, ::testing::ValuesIn(test::devices()), test::device_name);

OptimizerOptions scheduled(Schedule schedule, std::int64_t warmup_steps = 0) {
  OptimizerOptions options;
  options.strategy = parse_strategy("1:0.4, 3:0.1:2");
  options.schedule = schedule;
  options.warmup_steps = warmup_steps;
  options.peak_rate = 0.8;
  options.steps_per_epoch = 4;
  return options;
}

TEST(Schedules, ThePlanHasTheRateOfTheEpochsLastStep) {
  for (const OptimizerOptions& options : {scheduled(Schedule::kCosine), scheduled(Schedule::kCosine, 5),
                                          scheduled(Schedule::kOneCycle), scheduled(Schedule::kPhases, 5)}) {
    for (int epoch = 1; epoch <= 3; ++epoch) {
      const std::vector<double> rates = step_rates(options, epoch);
      ASSERT_EQ(rates.size(), 4u);
      EXPECT_EQ(plan_epoch(options, epoch).learning_rate, rates.back());
    }
  }
  EXPECT_EQ(step_rates(scheduled(Schedule::kCosine), 1).front(), 0.8);
  EXPECT_EQ(step_rates(scheduled(Schedule::kPhases, 5), 1).front(), 0.4 / 6);
  EXPECT_EQ(step_rates(scheduled(Schedule::kPhases), 2), std::vector<double>(4, 0.1));
}

TEST(Schedules, PhasesAmplifyUnderEverySchedule) {
  for (const Schedule schedule : {Schedule::kPhases, Schedule::kCosine, Schedule::kOneCycle}) {
    EXPECT_TRUE(plan_epoch(scheduled(schedule), 2).analyzed);
    EXPECT_TRUE(plan_epoch(scheduled(schedule), 3).amplified);
    EXPECT_EQ(plan_epoch(scheduled(schedule), 3).factor, 2);
  }
}

TEST(Schedules, ShortRunsHaveFiniteRates) {
  for (const Schedule schedule : {Schedule::kPhases, Schedule::kCosine, Schedule::kOneCycle}) {
    for (std::int64_t steps = 1; steps <= 12; ++steps) {
      for (std::int64_t step = 0; step < steps; ++step) {
        const double factor = schedule_factor(schedule, 0, step, steps);
        EXPECT_GT(factor, 0);
        EXPECT_LE(factor, 1);
      }
    }
  }
}

TEST(Schedules, WhatDoesNotGoTogetherIsRefused) {
  const auto backend = make_backend({});
  const StepState state = make_step_state(*backend, 1);
  Sequential network;
  network.append(std::make_shared<Linear>(*backend, 3, 2));
  const auto error_of = [&](OptimizerOptions options) {
    try {
      Optimizer(network, state, options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("(none)");
  };
  EXPECT_THAT(error_of(scheduled(Schedule::kCosine, -1)), testing::HasSubstr("0 or more steps, got -1"));
  EXPECT_THAT(error_of(scheduled(Schedule::kCosine, 12)), testing::HasSubstr("fewer steps than the run's 12, got 12"));
  EXPECT_THAT(error_of(scheduled(Schedule::kOneCycle, 2)), testing::HasSubstr("expected 0 warm-up steps, got 2"));
  OptimizerOptions options = scheduled(Schedule::kCosine);
  options.steps_per_epoch = 0;
  EXPECT_THAT(error_of(options), testing::HasSubstr("number of steps per epoch"));
  options = scheduled(Schedule::kPhases, 3);
  options.warmup_epochs = 1;
  EXPECT_THAT(error_of(options), testing::HasSubstr("expected 0 warm-up epochs"));
  options = scheduled(Schedule::kOneCycle);
  options.peak_rate = 0;
  EXPECT_THAT(error_of(options), testing::HasSubstr("finite peak rate above 0, got 0"));
  EXPECT_EQ(error_of(scheduled(Schedule::kPhases, 100)), "(none)") << "longer than the run";
}

}  // namespace
}  // namespace gradamp
