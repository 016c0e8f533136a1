// SPDX-License-Identifier: MIT
// Measuring windows: which epochs they have, what they measure, that they change no bit of the training, and resuming.
#include "gradamp/optim/measuring_window.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/optim/optimizer.h"
#include "gradamp/tests/optim/optim_support.h"

namespace gradamp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ---- The operation ----

class AccumulateSumsTest : public test::DeviceTest {};

using Values = std::vector<float>;

/// The sums after three steps: added by the update's pass, or by accumulate_sums behind it.
std::vector<Values> sums_after_steps(Backend& device, Granularity granularity, bool separate) {
  test::SmallNet network(device);
  ParameterArena arena(network);
  arena.enable_statistics(granularity);
  const StepState state = test::make_step_state(device);
  const SgdParams params{.accumulate = !separate, .granularity = granularity};
  for (std::uint32_t step = 0; step < 3; ++step) {
    test::make_gradients(arena, step);
    const Values gradients = arena.arena().gradients.to_host<float>();
    device.sgd_step(arena.arena(), test::filled(device, 4, 2), state, params);
    const Values weights = arena.arena().weights.to_host<float>();
    if (separate) device.accumulate_sums(arena.arena(), granularity, state);
    EXPECT_EQ(arena.arena().gradients.to_host<float>(), gradients);
    EXPECT_EQ(arena.arena().weights.to_host<float>(), weights);
  }
  EXPECT_EQ(state.counters.to_host<std::int64_t>()[kFirstBadStep], 0);
  return {arena.arena().signed_sums.to_host<float>(), arena.arena().absolute_sums.to_host<float>()};
}

// SmallNet has 318 neurons, which is no multiple of the four that a thread of the kernel takes.
TEST_P(AccumulateSumsTest, GivesTheBitsOfTheUpdatesPass) {
  const auto single = make_backend(GetParam().device, {.threads = 1});
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    const std::vector<Values> expected = sums_after_steps(backend(), granularity, false);
    EXPECT_NE(expected[1].front(), 0);
    if (granularity == Granularity::kNeuron) {
      EXPECT_EQ(expected[1].size(), 318u);
    }
    EXPECT_EQ(sums_after_steps(backend(), granularity, true), expected);
    EXPECT_EQ(sums_after_steps(*single, granularity, true), expected);
  }
}

TEST_P(AccumulateSumsTest, ABadStepAddsNothing) {
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    test::SmallNet network(backend());
    ParameterArena arena(network);
    arena.enable_statistics(granularity);
    const StepState state = test::make_step_state(backend());
    test::make_gradients(arena, 0);
    backend().accumulate_sums(arena.arena(), granularity, state);
    const Values before = arena.arena().signed_sums.to_host<float>();
    const float bad = std::numeric_limits<float>::infinity();
    arena.arena().gradients.view({1}, 0).copy_from_host(std::span<const float>(&bad, 1));
    backend().sgd_step(arena.arena(), test::filled(backend(), 4, 1), state, {});
    backend().accumulate_sums(arena.arena(), granularity, state);
    EXPECT_EQ(arena.arena().signed_sums.to_host<float>(), before);
    EXPECT_EQ(state.counters.to_host<std::int64_t>()[kFirstBadStep], 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, AccumulateSumsTest, ::testing::ValuesIn(test::devices()), test::device_name);

// ---- Windows ----

/// |S| and A of every weight of every layer, in float64.
struct PlainSums {
  std::vector<std::vector<double>> signed_sums, absolute_sums;

  void add(const ParameterArena& arena) {
    signed_sums.resize(arena.layers().size());
    absolute_sums.resize(arena.layers().size());
    for (std::size_t l = 0; l < arena.layers().size(); ++l) {
      std::vector<double> gradients;
      for (const ArenaParameter& parameter : arena.layers()[l].parameters)
        for (const float g : parameter.variable.grad().to_host<float>()) gradients.push_back(static_cast<double>(g));
      signed_sums[l].resize(gradients.size());
      absolute_sums[l].resize(gradients.size());
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        signed_sums[l][i] += gradients[i];
        absolute_sums[l][i] += std::abs(gradients[i]);
      }
    }
  }
  double g(std::size_t l) const {
    double s = 0, a = 0;
    for (std::size_t i = 0; i < signed_sums[l].size(); ++i) {
      s += std::abs(signed_sums[l][i]);
      a += absolute_sums[l][i];
    }
    return s / a;
  }
  double g_prime(std::size_t l) const {
    double sum = 0;
    for (std::size_t i = 0; i < signed_sums[l].size(); ++i)
      if (absolute_sums[l][i] > 0) sum += std::abs(signed_sums[l][i]) / absolute_sums[l][i];
    return sum / static_cast<double>(signed_sums[l].size());
  }
};

/// A network, its run's state and an optimizer; images and a seed gradient replace a loss.
struct MeasuredTrial {
  static constexpr std::uint32_t kSteps = 2;
  Backend& device;
  std::shared_ptr<test::SmallNet> network;
  StepState state;
  Optimizer optimizer;
  PlainSums plain;

  MeasuredTrial(Backend& backend, const OptimizerOptions& options)
      : device(backend),
        network(std::make_shared<test::SmallNet>(backend)),
        state(test::make_step_state(backend)),
        optimizer(*network, state, options) {}

  void step(int epoch, std::uint32_t number) {
    const std::uint32_t seed = 200 * static_cast<std::uint32_t>(epoch) + 2 * number;
    optimizer.begin_step();
    const Variable y = network->forward(Variable(test::normal_tensor(device, {2, 5, 5, 3}, seed)), Mode::kTraining);
    y.backward(test::normal_tensor(device, {2, 301}, seed + 1));
    optimizer.step();
    device.advance_step(state, 2);
    plain.add(optimizer.arena());
  }
  void steps(int epoch, std::uint32_t first = 0) {
    for (std::uint32_t i = first; i < kSteps; ++i) step(epoch, i);
  }
  /// An epoch; the measures of the window that ends with it.
  std::optional<MeasureRecord> epoch(int number) {
    optimizer.begin_epoch(number);
    steps(number);
    optimizer.end_epoch();
    return optimizer.end_window();
  }
  /// All tensors of a checkpoint, except a window's sums if `without_window`.
  std::map<std::string, std::vector<std::byte>> save(bool without_window = false) const {
    std::map<std::string, std::vector<std::byte>> saved;
    for (const NamedBuffer& buffer : tensors()) {
      if (without_window && buffer.name.find(".window_") != std::string::npos) continue;
      std::vector<std::byte>& bytes = saved[buffer.name];
      bytes.resize(buffer.tensor.bytes());
      buffer.tensor.copy_bytes_to_host(bytes);
    }
    return saved;
  }
  void load(const std::map<std::string, std::vector<std::byte>>& saved) {
    ASSERT_EQ(tensors().size(), saved.size());
    for (const NamedBuffer& buffer : tensors()) buffer.tensor.copy_bytes_from_host(saved.at(buffer.name));
  }

 private:
  std::vector<NamedBuffer> tensors() const {
    std::vector<NamedBuffer> all = optimizer.state_tensors();
    for (const NamedBuffer& buffer : network->named_buffers()) all.push_back(buffer);
    for (const NamedParameter& parameter : network->named_parameters())
      all.push_back({parameter.name, parameter.variable.value()});
    all.push_back({"counters", state.counters});
    return all;
  }
};

OptimizerOptions measuring(const std::string& strategy, std::int64_t every,
                           SelectionMethod method = SelectionMethod::kMeasure) {
  OptimizerOptions options;
  options.strategy = parse_strategy(strategy);
  options.selection.method = method;
  options.selection.threshold = 0.5;
  options.measure_every = every;
  return options;
}

std::vector<double> values_of(const MeasureRecord& record) {
  std::vector<double> values;
  for (const MeasuredLayer& layer : record.read())
    values.insert(values.end(), {layer.g, layer.g_prime, layer.normalized_g, layer.normalized_g_prime});
  return values;
}

class MeasuringWindowTest : public test::DeviceTest {};

TEST_P(MeasuringWindowTest, HasItsEpochsAndTheLastOneEndsWithTheRun) {
  for (const SelectionMethod method : {SelectionMethod::kMeasure, SelectionMethod::kRandom, SelectionMethod::kNone}) {
    MeasuredTrial run(backend(), measuring("1:0.1, 4:0.1:2, 5:0.1", 2, method));
    std::vector<std::string> windows;
    for (int epoch = 1; epoch <= 5; ++epoch) {
      const std::optional<MeasureRecord> record = run.epoch(epoch);
      EXPECT_EQ(run.optimizer.window_first_epoch() > 0, !record);
      if (!record) continue;
      EXPECT_EQ(record->last_epoch(), epoch);
      windows.push_back(fmt::format("{}-{}: {}", record->first_epoch(), epoch, record->window_epochs()));
      std::vector<std::string> layers;
      for (const MeasuredLayer& layer : record->read()) layers.push_back(layer.name);
      EXPECT_THAT(layers, ElementsAre("conv1", "bn1", "conv2", "linear"));  // also those that random cannot select
    }
    EXPECT_THAT(windows, ElementsAre("1-2: 2", "3-4: 2", "5-5: 1"));
  }
}

// Epoch 2 is analyzed inside the first window, and epoch 3 is amplified.
TEST_P(MeasuringWindowTest, MeasuresItsOwnGradientsBesideAnAnalyzedEpoch) {
  MeasuredTrial run(backend(), measuring("1:0.1, 3:0.05:2, 4:0.1", 2));
  std::vector<MeasureRecord> records;
  for (int epoch = 1; epoch <= 4; ++epoch) {
    if (epoch % 2 == 1) run.plain = {};
    run.optimizer.begin_epoch(epoch);
    PlainSums of_epoch;
    for (std::uint32_t i = 0; i < MeasuredTrial::kSteps; ++i) {
      run.step(epoch, i);
      of_epoch.add(run.optimizer.arena());
    }
    const std::optional<EpochRecord> selection = run.optimizer.end_epoch();
    ASSERT_EQ(selection.has_value(), epoch == 2);
    if (selection) {
      const std::vector<LayerReport> layers = selection->read();
      for (std::size_t l = 0; l < 4; ++l) EXPECT_NEAR(*layers[l].g_prime, of_epoch.g_prime(l), 1e-6) << l;
    }
    const std::optional<MeasureRecord> record = run.optimizer.end_window();
    ASSERT_EQ(record.has_value(), epoch % 2 == 0);
    if (!record) continue;
    const std::vector<MeasuredLayer> layers = record->read();
    double mean = 0, variance = 0;
    for (std::size_t l = 0; l < 4; ++l) mean += run.plain.g(l) / 4;
    for (std::size_t l = 0; l < 4; ++l) variance += (run.plain.g(l) - mean) * (run.plain.g(l) - mean) / 4;
    for (std::size_t l = 0; l < 4; ++l) {
      // float32 sums of four numbers, averaged over at least ten weights.
      EXPECT_NEAR(layers[l].g, run.plain.g(l), 1e-6) << epoch << " " << l;
      EXPECT_NEAR(layers[l].g_prime, run.plain.g_prime(l), 1e-6) << epoch << " " << l;
      EXPECT_NEAR(layers[l].normalized_g, (run.plain.g(l) - mean) / std::sqrt(variance), 1e-4);
    }
    records.push_back(*record);
  }
  const std::vector<double> first = values_of(records[0]);
  EXPECT_NE(first, values_of(records[1]));  // and the first record has kept its own
}

// A window of one epoch measures what the strategy measures in its analyzed epoch.
TEST_P(MeasuringWindowTest, ByNeuronAgreesWithTheStrategysMeasures) {
  OptimizerOptions options = measuring("1:0.1, 2:0.1:2, 3:0.1", 1);
  options.sgd.granularity = Granularity::kNeuron;
  MeasuredTrial run(backend(), options);
  run.epoch(1);
  run.optimizer.begin_epoch(2);
  run.steps(2);
  const std::vector<LayerReport> selected = run.optimizer.end_epoch()->read();
  const std::vector<MeasuredLayer> measured = run.optimizer.end_window()->read();
  ASSERT_EQ(selected.size(), measured.size());
  for (std::size_t l = 0; l < measured.size(); ++l) {
    EXPECT_EQ(measured[l].g, selected[l].g);
    EXPECT_EQ(measured[l].g_prime, selected[l].g_prime);
    EXPECT_EQ(measured[l].normalized_g, selected[l].normalized_g);
    EXPECT_EQ(measured[l].normalized_g_prime, selected[l].normalized_g_prime);
    EXPECT_EQ(measured[l].name, selected[l].name);
    EXPECT_EQ(measured[l].type, selected[l].type);
    EXPECT_EQ(measured[l].count, selected[l].count);
  }
}

TEST_P(MeasuringWindowTest, ChangesNoBitOfTheTraining) {
  for (const SelectionMethod method : {SelectionMethod::kMeasure, SelectionMethod::kRandom, SelectionMethod::kNone}) {
    std::map<std::string, std::vector<std::byte>> expected;
    for (const std::int64_t every : {0, 1, 2}) {
      OptimizerOptions options = measuring("1:0.1, 3:0.05:2", every, method);
      options.sgd.granularity = method == SelectionMethod::kMeasure ? Granularity::kWeight : Granularity::kNeuron;
      options.placement = method == SelectionMethod::kRandom ? Placement::kBackprop : Placement::kUpdate;
      MeasuredTrial run(backend(), options);
      for (int epoch = 1; epoch <= 2; ++epoch) run.epoch(epoch);
      run.optimizer.begin_epoch(3);
      run.step(3, 0);
      if (every == 0) expected = run.save();
      EXPECT_EQ(run.save(true), expected) << "every " << every;
    }
  }
}

TEST_P(MeasuringWindowTest, ChangesNoBitUnderAdamWClippingAndDecayOfSomeWeights) {
  for (const UpdateRule rule : {UpdateRule::kSgd, UpdateRule::kAdamW}) {
    std::map<std::string, std::vector<std::byte>> expected;
    for (const std::int64_t every : {0, 2}) {
      OptimizerOptions options = measuring("1:0.1, 3:0.05:2", every, SelectionMethod::kMeasure);
      options.update_rule = rule;
      options.sgd.weight_decay = 0.1f;
      options.decay_norm_bias = false;
      options.clip_norm = 0.1;
      MeasuredTrial run(backend(), options);
      for (int epoch = 1; epoch <= 3; ++epoch) run.epoch(epoch);
      if (every == 0) expected = run.save();
      EXPECT_EQ(run.save(true), expected) << "every " << every;
    }
  }
}

TEST_P(MeasuringWindowTest, ResumedAnywhereEqualsUnbroken) {
  OptimizerOptions options = measuring("1:0.1, 3:0.05:2, 4:0.01", 3);  // epoch 4 is a shorter window
  struct Moment {
    int epoch, window;
    bool ended;
    std::map<std::string, std::vector<std::byte>> saved;
  };
  std::vector<Moment> moments;
  std::vector<double> expected;
  MeasuredTrial unbroken(backend(), options);
  const auto keep = [&](int epoch, bool ended) {
    moments.push_back({epoch, unbroken.optimizer.window_first_epoch(), ended, unbroken.save()});
  };
  const auto append = [](std::vector<double>& values, const std::optional<MeasureRecord>& record) {
    if (!record) return;
    const std::vector<double> more = values_of(*record);
    values.insert(values.end(), more.begin(), more.end());
  };
  for (int epoch = 1; epoch <= 4; ++epoch) {
    unbroken.optimizer.begin_epoch(epoch);
    unbroken.step(epoch, 0);
    keep(epoch, false);
    unbroken.step(epoch, 1);
    unbroken.optimizer.end_epoch();
    append(expected, unbroken.optimizer.end_window());
    keep(epoch, true);
  }
  ASSERT_EQ(expected.size(), 2u * 16);
  EXPECT_EQ(unbroken.optimizer.window_first_epoch(), 0);
  const auto last = unbroken.save();
  for (const Moment& moment : moments) {
    SCOPED_TRACE(fmt::format("in epoch {}, ended: {}", moment.epoch, moment.ended));
    MeasuredTrial resumed(backend(), options);
    resumed.optimizer.resume_epoch(moment.epoch, moment.ended, moment.window);
    resumed.load(moment.saved);
    std::vector<double> values;
    if (!moment.ended) {
      resumed.steps(moment.epoch, 1);
      resumed.optimizer.end_epoch();
      append(values, resumed.optimizer.end_window());
    }
    for (int epoch = moment.epoch + 1; epoch <= 4; ++epoch) append(values, resumed.epoch(epoch));
    ASSERT_LE(values.size(), expected.size());
    EXPECT_EQ(values, std::vector<double>(expected.end() - static_cast<std::ptrdiff_t>(values.size()), expected.end()));
    EXPECT_EQ(resumed.save(), last);
  }
}

TEST_P(MeasuringWindowTest, IsInACheckpointOnlyWhileItIsOpen) {
  MeasuredTrial run(backend(), measuring("3:0.1", 2));
  const auto has_sums = [&] {
    int count = 0;
    for (const auto& [name, bytes] : run.save()) count += name.find(".window_") != std::string::npos ? 1 : 0;
    return count == 2;
  };
  EXPECT_FALSE(has_sums());
  run.epoch(1);
  EXPECT_TRUE(has_sums());
  EXPECT_TRUE(run.epoch(2).has_value());
  EXPECT_FALSE(has_sums());
}

TEST_P(MeasuringWindowTest, OptionsThatDoNotFitAreRefused) {
  OptimizerOptions options = measuring("3:0.1", -1);
  EXPECT_THAT(test::error_of([&] { MeasuredTrial run(backend(), options); }),
              HasSubstr("expected to measure every 0 or more epochs, got -1"));
}

INSTANTIATE_TEST_SUITE_P(Devices, MeasuringWindowTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
