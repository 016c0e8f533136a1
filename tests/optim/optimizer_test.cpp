// SPDX-License-Identifier: MIT
// The optimizer over epochs: what is measured, selected and amplified in which epoch, both placements, and resuming.
#include "gradamp/optim/optimizer.h"

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/random_selection.h"
#include "gradamp/tests/optim/optim_support.h"

namespace gradamp {
namespace {

using test::SmallNet;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

/// A network, its run's state and an optimizer; images and a seed gradient replace a loss.
struct Trial {
  Backend& device;
  std::shared_ptr<SmallNet> network;
  StepState state;
  Optimizer optimizer;

  Trial(Backend& backend, const OptimizerOptions& options)
      : device(backend),
        network(std::make_shared<SmallNet>(backend)),
        state(test::make_step_state(backend)),
        optimizer(*network, state, options) {}

  void step(std::uint32_t number) {
    optimizer.begin_step();
    const Variable y =
        network->forward(Variable(test::normal_tensor(device, {2, 5, 5, 3}, 2 * number)), Mode::kTraining);
    y.backward(test::normal_tensor(device, {2, 301}, 2 * number + 1));
    optimizer.step();
    device.advance_step(state, 2);
  }
  std::optional<EpochRecord> epoch(int number, std::uint32_t steps = 3) {
    std::optional<EpochRecord> record = optimizer.begin_epoch(number);
    for (std::uint32_t i = 0; i < steps; ++i) step(100 * static_cast<std::uint32_t>(number) + i);
    std::optional<EpochRecord> measured = optimizer.end_epoch();
    return measured ? measured : record;
  }
  std::vector<float> factors() const { return tensor("optimizer.factors").to_host<float>(); }
  float learning_rate() const { return state.learning_rate.to_host<float>()[0]; }
  Tensor tensor(const std::string& name) const {
    for (const NamedBuffer& buffer : optimizer.state_tensors())
      if (buffer.name == name) return buffer.tensor;
    fail("no tensor {}", name);
  }
};

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const Tensor& tensor) {
  Bytes bytes(tensor.bytes());
  tensor.copy_bytes_to_host(bytes);
  return bytes;
}

/// The tensors of a checkpoint.
std::map<std::string, Bytes> save(Trial& run) {
  std::map<std::string, Bytes> saved;
  for (const NamedBuffer& buffer : run.optimizer.state_tensors()) saved[buffer.name] = bytes_of(buffer.tensor);
  for (const NamedBuffer& buffer : run.network->named_buffers()) saved[buffer.name] = bytes_of(buffer.tensor);
  for (const NamedParameter& parameter : run.network->named_parameters())
    saved[parameter.name] = bytes_of(parameter.variable.value());
  saved["counters"] = bytes_of(run.state.counters);
  return saved;
}

void load(Trial& run, const std::map<std::string, Bytes>& saved) {
  std::size_t loaded = 1;
  const auto copy = [&](const std::string& name, const Tensor& tensor) {
    tensor.copy_bytes_from_host(saved.at(name));
    ++loaded;
  };
  for (const NamedBuffer& buffer : run.optimizer.state_tensors()) copy(buffer.name, buffer.tensor);
  for (const NamedBuffer& buffer : run.network->named_buffers()) copy(buffer.name, buffer.tensor);
  for (const NamedParameter& parameter : run.network->named_parameters())
    copy(parameter.name, parameter.variable.value());
  run.state.counters.copy_bytes_from_host(saved.at("counters"));
  EXPECT_EQ(loaded, saved.size());
}

OptimizerOptions options_with(const std::string& strategy, SelectionMethod method) {
  OptimizerOptions options;
  options.strategy = parse_strategy(strategy);
  options.selection.method = method;
  options.selection.threshold = 0.5;
  return options;
}

class OptimizerTest : public test::DeviceTest {};

TEST_P(OptimizerTest, MeasuresThenAmplifiesThenStops) {
  Trial run(backend(), options_with("1:0.1, 3:0.05:2, 4:0.025:3, 5:0.0125", SelectionMethod::kMeasure));
  EXPECT_FALSE(run.epoch(1).has_value());
  EXPECT_EQ(run.learning_rate(), 0.1f);
  EXPECT_THAT(run.factors(), Each(1.0f));
  EXPECT_FALSE(run.optimizer.arena().arena().signed_sums.defined());  // not enabled yet

  run.optimizer.begin_epoch(2);
  EXPECT_EQ(run.learning_rate(), 0.05f);
  EXPECT_THAT(run.factors(), Each(1.0f));
  run.step(0);
  run.step(1);
  const std::optional<EpochRecord> record = run.optimizer.end_epoch();
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->epoch(), 2);
  EXPECT_EQ(record->window_epochs(), 1);
  const std::vector<float> selected = run.factors();
  EXPECT_THAT(selected, ::testing::Contains(2.0f));
  EXPECT_THAT(selected, ::testing::Contains(1.0f));

  run.epoch(3);
  EXPECT_EQ(run.factors(), selected);
  run.optimizer.begin_epoch(4);  // another amplifying phase: first analyzed
  EXPECT_THAT(run.factors(), Each(1.0f));
  run.step(2);
  const std::vector<LayerReport> second = run.optimizer.end_epoch()->read();
  run.optimizer.begin_epoch(5);
  EXPECT_THAT(run.factors(), Each(1.0f));

  // The first record has not changed.
  const std::vector<LayerReport> reports = record->read();
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_EQ(reports[1].name, "bn1");
  EXPECT_EQ(reports[1].type, LayerType::kBatchNorm);
  EXPECT_EQ(reports[1].count, 10);
  for (std::size_t l = 0; l < 4; ++l) {
    EXPECT_EQ(reports[l].selected, *reports[l].normalized_g_prime > 0.5);
    EXPECT_EQ(reports[l].factor, selected[l]);
    EXPECT_GT(*reports[l].g, 0);
    EXPECT_LE(*reports[l].g, 1);
    EXPECT_NE(reports[l].g_prime, second[l].g_prime);
    EXPECT_EQ(second[l].factor, second[l].selected ? 3.0f : 1.0f);
  }
}

TEST_P(OptimizerTest, TheMeasuresAreOfTheEpochsOwnGradients) {
  OptimizerOptions options = options_with("1:0.1, 2:0.1:2, 3:0.1", SelectionMethod::kMeasure);
  options.sgd.granularity = Granularity::kNeuron;
  Trial run(backend(), options);
  run.epoch(1);
  run.optimizer.begin_epoch(2);
  std::vector<double> signed_sum(301, 0), absolute_sum(301, 0);
  for (std::uint32_t i = 0; i < 4; ++i) {
    run.step(i);
    const ArenaLayer& linear = run.optimizer.arena().layers()[3];
    const std::vector<float> rows = linear.parameters[0].variable.grad().to_host<float>();
    const std::vector<float> bias = linear.parameters[1].variable.grad().to_host<float>();
    for (std::size_t k = 0; k < 301; ++k) {
      double g = static_cast<double>(bias[k]);
      for (std::size_t c = 0; c < 7; ++c) g += static_cast<double>(rows[k * 7 + c]);
      signed_sum[k] += g;
      absolute_sum[k] += std::abs(g);
    }
  }
  double s = 0, a = 0, ratios = 0;
  for (std::size_t k = 0; k < 301; ++k) {
    s += std::abs(signed_sum[k]);
    a += absolute_sum[k];
    ratios += std::abs(signed_sum[k]) / absolute_sum[k];
  }
  const std::vector<LayerReport> reports = run.optimizer.end_epoch()->read();
  EXPECT_NEAR(*reports[3].g, s / a, 1e-6);  // float32 sums of four numbers, averaged over 301 neurons
  EXPECT_NEAR(*reports[3].g_prime, ratios / 301, 1e-6);
}

TEST_P(OptimizerTest, AFactorOfOneMeasuresAndChangesNothing) {
  Trial measured(backend(), options_with("1:0.1:1, 3:0.1:1", SelectionMethod::kMeasure));
  Trial plain(backend(), options_with("3:0.1", SelectionMethod::kNone));
  std::vector<LayerReport> reports;
  for (int epoch = 1; epoch <= 3; ++epoch) {
    const std::optional<EpochRecord> record = measured.epoch(epoch);
    if (epoch == 2) reports = record->read();
    EXPECT_FALSE(plain.epoch(epoch).has_value());
  }
  EXPECT_EQ(test::bits_of(measured.optimizer.arena().arena().weights),
            test::bits_of(plain.optimizer.arena().arena().weights));
  bool any = false;
  for (const LayerReport& report : reports) {
    any = any || report.selected;
    EXPECT_EQ(report.factor, 1.0f);
  }
  EXPECT_TRUE(any);
}

TEST_P(OptimizerTest, WithoutSelectionAmplifyingPhasesAreOnlyASchedule) {
  Trial run(backend(), options_with("1:0.1:2, 3:0.01:2", SelectionMethod::kNone));
  for (int epoch = 1; epoch <= 3; ++epoch) {
    const EpochPlan plan = run.optimizer.plan(epoch);
    EXPECT_FALSE(plan.analyzed || plan.select || plan.clear_sums || plan.amplified);
    EXPECT_FALSE(run.epoch(epoch).has_value());
    EXPECT_THAT(run.factors(), Each(1.0f));
  }
  EXPECT_EQ(run.learning_rate(), 0.01f);
  EXPECT_FALSE(run.optimizer.arena().arena().signed_sums.defined());
}

TEST_P(OptimizerTest, ReselectionGathersOverItsWindow) {
  OptimizerOptions options = options_with("6:0.1:2", SelectionMethod::kMeasure);
  options.strategy.reselect_every = 2;  // windows: 1; 2-3; 4-5; 6
  Trial run(backend(), options);
  run.epoch(1);
  EXPECT_FALSE(run.epoch(2).has_value());
  const std::vector<std::uint32_t> half = test::bits_of(run.tensor("optimizer.absolute_sums"));
  const std::optional<EpochRecord> record = run.epoch(3);
  EXPECT_EQ(record->window_epochs(), 2);
  EXPECT_NE(test::bits_of(run.optimizer.arena().arena().absolute_sums), half);
  for (const LayerReport& report : record->read()) EXPECT_EQ(report.selected, report.factor == 2.0f);
  run.optimizer.begin_epoch(4);
  EXPECT_THAT(run.tensor("optimizer.absolute_sums").to_host<float>(), Each(0.0f));
  EXPECT_THAT(run.factors(), ::testing::Contains(2.0f));  // still amplified
}

TEST_P(OptimizerTest, RandomSelectionAmplifiesFromThePhasesFirstEpoch) {
  OptimizerOptions options = options_with("1:0.1, 3:0.1:2, 5:0.1:3, 6:0.1", SelectionMethod::kRandom);
  options.selection.types = {LayerType::kConv, LayerType::kLinear};
  options.selection.fraction = 0.67;  // two of three
  options.selection.seed = 11;
  Trial run(backend(), options);
  EXPECT_FALSE(run.optimizer.begin_epoch(1).has_value());
  const std::optional<EpochRecord> record = run.optimizer.begin_epoch(2);
  ASSERT_TRUE(record.has_value());
  const std::vector<LayerReport> reports = record->read();
  ASSERT_EQ(reports.size(), 3u);
  const std::vector<float> factors = run.factors();
  std::vector<std::int32_t> drawn(3);
  draw_indices(drawn.data(), 3, 2, 11, 2);
  drawn.resize(2);
  const std::vector<std::size_t> index = {0, 2, 3};
  EXPECT_EQ(factors[1], 1.0f);  // batch norm is not of these types
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(reports[i].selected, std::count(drawn.begin(), drawn.end(), static_cast<std::int32_t>(i)) == 1);
    EXPECT_EQ(reports[i].factor, factors[index[i]]);
    EXPECT_EQ(reports[i].factor, reports[i].selected ? 2.0f : 1.0f);
    EXPECT_FALSE(reports[i].g.has_value());
  }
  EXPECT_TRUE(run.optimizer.plan(2).amplified);
  EXPECT_FALSE(run.epoch(3).has_value());
  EXPECT_EQ(run.factors(), factors);
  ASSERT_TRUE(run.epoch(4).has_value());
  EXPECT_THAT(run.factors(), ::testing::Contains(3.0f).Times(2));
  run.optimizer.begin_epoch(6);
  EXPECT_THAT(run.factors(), Each(1.0f));
  EXPECT_FALSE(run.optimizer.arena().arena().signed_sums.defined());
}

TEST_P(OptimizerTest, AmplifiedUpdatesAreLargerInTheSelectedLayersAlone) {
  OptimizerOptions options = options_with("1:0.1:2", SelectionMethod::kRandom);
  options.sgd = {.momentum = 0, .weight_decay = 0};
  options.selection.types = {LayerType::kBatchNorm};
  options.selection.fraction = 1;
  Trial amplified(backend(), options);
  options.selection.method = SelectionMethod::kNone;
  Trial plain(backend(), options);
  const std::vector<double> before = test::to_double(plain.optimizer.arena().arena().weights.to_host<float>());
  amplified.epoch(1, 1);
  plain.epoch(1, 1);
  const std::vector<float> one = plain.optimizer.arena().arena().weights.to_host<float>();
  const std::vector<float> two = amplified.optimizer.arena().arena().weights.to_host<float>();
  const LayerRange& bn = plain.optimizer.arena().layers()[1].range;
  for (std::size_t i = 0; i < one.size(); ++i) {
    const auto place = static_cast<std::int64_t>(i);
    const double factor = place >= bn.begin && place < bn.end ? 2 : 1;
    // Two roundings of a weight of up to 4.
    EXPECT_NEAR(static_cast<double>(two[i]) - before[i], factor * (static_cast<double>(one[i]) - before[i]), 1e-6);
  }
}

TEST_P(OptimizerTest, PlacementBackpropScalesWhatIsUpstream) {
  OptimizerOptions options = options_with("1:0.1, 2:0.1:2, 3:0.1", SelectionMethod::kRandom);
  options.placement = Placement::kBackprop;
  options.selection.types = {LayerType::kRelu};
  options.selection.fraction = 1;
  Trial amplified(backend(), options);
  options.selection.method = SelectionMethod::kNone;
  Trial plain(backend(), options);
  for (Trial* run : {&amplified, &plain}) {
    run->optimizer.begin_epoch(2);
    run->step(0);
  }
  const std::vector<double> expected_scale = {4, 4, 2, 1};  // both ReLUs, the second alone, none
  for (std::size_t l = 0; l < 4; ++l) {
    for (std::size_t p = 0; p < plain.optimizer.arena().layers()[l].parameters.size(); ++p) {
      if (l == 0 && p == 1) continue;  // a bias before batch norm: its gradient consists of rounding errors
      const auto grad = [&](const Trial& run) {
        return run.optimizer.arena().layers()[l].parameters[p].variable.grad().to_host<float>();
      };
      std::vector<double> expected = test::to_double(grad(plain));
      for (double& value : expected) value *= expected_scale[l];
      EXPECT_TRUE(test::agrees(grad(amplified), expected, 1e-5)) << l << " " << p;
    }
  }
  for (const NamedLayer& named : named_layers(*amplified.network))
    EXPECT_EQ(named.layer->grad_scale().factors.defined(), named.layer->type() == LayerType::kRelu);
  amplified.optimizer.begin_epoch(3);  // in an epoch that is not amplified, the fused operations are used again
  for (const NamedLayer& named : named_layers(*amplified.network))
    EXPECT_FALSE(named.layer->grad_scale().factors.defined());
}

TEST_P(OptimizerTest, PlacementBackpropWithAMeasureUpdatesWithFactorOne) {
  OptimizerOptions options = options_with("3:0.1:2", SelectionMethod::kMeasure);
  options.placement = Placement::kBackprop;
  options.sgd = {.momentum = 0, .weight_decay = 0};
  Trial run(backend(), options);
  run.epoch(1);
  EXPECT_THAT(run.factors(), ::testing::Contains(2.0f));
  EXPECT_EQ(run.factors().size(), 4u);
  run.optimizer.begin_epoch(2);
  const std::vector<double> before = test::to_double(run.optimizer.arena().arena().weights.to_host<float>());
  run.step(77);
  const std::vector<float> gradients = run.optimizer.arena().arena().gradients.to_host<float>();
  const std::vector<float> after = run.optimizer.arena().arena().weights.to_host<float>();
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_NEAR(static_cast<double>(after[i]), before[i] - 0.1 * static_cast<double>(gradients[i]), 1e-5);
}

TEST_P(OptimizerTest, ResumedEqualsUnbroken) {
  constexpr std::uint32_t kSteps = 2, kEnded = 3;
  for (const Placement placement : {Placement::kUpdate, Placement::kBackprop}) {
    for (const SelectionMethod method : {SelectionMethod::kMeasure, SelectionMethod::kRandom}) {
      OptimizerOptions options = options_with("1:0.1, 5:0.05:2, 6:0.01", method);
      options.placement = placement;
      options.strategy.reselect_every = method == SelectionMethod::kMeasure ? 2 : 0;
      // At every step: a checkpoint is taken from the uninterrupted run, and a new run from it is trained to the end.
      Trial unbroken(backend(), options);
      struct Moment {
        int epoch;
        std::uint32_t steps;  // done, of two; kEnded: and the epoch has ended
        std::map<std::string, Bytes> saved;
      };
      std::vector<Moment> moments = {{0, kEnded, save(unbroken)}};
      for (int epoch = 1; epoch <= 6; ++epoch) {
        unbroken.optimizer.begin_epoch(epoch);
        moments.push_back({epoch, 0, save(unbroken)});
        for (std::uint32_t i = 0; i < kSteps; ++i) {
          unbroken.step(100 * static_cast<std::uint32_t>(epoch) + i);
          moments.push_back({epoch, i + 1, save(unbroken)});
        }
        unbroken.optimizer.end_epoch();
        moments.push_back({epoch, kEnded, save(unbroken)});
      }
      const std::map<std::string, Bytes> expected = save(unbroken);
      for (const Moment& moment : moments) {
        Trial resumed(backend(), options);
        resumed.optimizer.resume_epoch(moment.epoch, moment.steps == kEnded);
        load(resumed, moment.saved);
        if (moment.steps < kEnded) {
          for (std::uint32_t i = moment.steps; i < kSteps; ++i)
            resumed.step(100 * static_cast<std::uint32_t>(moment.epoch) + i);
          resumed.optimizer.end_epoch();
        }
        for (int epoch = moment.epoch + 1; epoch <= 6; ++epoch) resumed.epoch(epoch, kSteps);
        EXPECT_EQ(save(resumed), expected) << "from epoch " << moment.epoch << " step " << moment.steps;
      }
    }
  }
}

TEST_P(OptimizerTest, KeepsSumsInACheckpointOnlyWhileTheyAreInUse) {
  Trial run(backend(), options_with("2:0.1:2", SelectionMethod::kMeasure));
  const auto names = [&] {
    std::vector<std::string> result;
    for (const NamedBuffer& buffer : run.optimizer.state_tensors()) result.push_back(buffer.name);
    return result;
  };
  const auto always = UnorderedElementsAre("optimizer.momentum", "optimizer.factors", "optimizer.measures");
  EXPECT_THAT(names(), always);
  run.optimizer.begin_epoch(1);
  EXPECT_THAT(names(), UnorderedElementsAre("optimizer.momentum", "optimizer.factors", "optimizer.measures",
                                            "optimizer.signed_sums", "optimizer.absolute_sums"));
  run.step(0);
  run.optimizer.end_epoch();
  EXPECT_THAT(names(), always);
}

TEST_P(OptimizerTest, RefusesOptionsThatDoNotFit) {
  const auto error_with = [&](auto change) {
    OptimizerOptions options = options_with("2:0.1:2", SelectionMethod::kMeasure);
    change(options);
    return test::error_of([&] { Trial run(backend(), options); });
  };
  EXPECT_EQ(error_with([](OptimizerOptions&) {}), "");
  EXPECT_THAT(error_with([](OptimizerOptions& o) { o.sgd.momentum = 1; }), HasSubstr("momentum in [0, 1), got 1"));
  EXPECT_THAT(error_with([](OptimizerOptions& o) { o.sgd.weight_decay = -1; }),
              HasSubstr("weight decay of at least 0"));
  EXPECT_THAT(error_with([](OptimizerOptions& o) {
                o.sgd.momentum = 0;
                o.sgd.nesterov = true;
              }),
              HasSubstr("Nesterov"));
  EXPECT_THAT(error_with([](OptimizerOptions& o) { o.strategy.phases.clear(); }), HasSubstr("no phase"));
  EXPECT_THAT(error_with([](OptimizerOptions& o) { o.selection.threshold = std::nan(""); }), HasSubstr("threshold"));
  EXPECT_THAT(error_with([](OptimizerOptions& o) {
                o.selection.method = SelectionMethod::kRandom;
                o.selection.types = {LayerType::kRelu};
              }),
              HasSubstr("layers of type relu have no parameters"));
  EXPECT_THAT(error_with([](OptimizerOptions& o) {
                o.selection.method = SelectionMethod::kRandom;
                o.strategy.reselect_every = 2;
              }),
              HasSubstr("random selection draws once a phase"));
  Linear linear(backend(), 3, 2);
  OptimizerOptions options = options_with("2:0.1:2", SelectionMethod::kRandom);
  EXPECT_THAT(test::error_of([&] { Optimizer optimizer(linear, test::make_step_state(backend()), options); }),
              HasSubstr("no layer of the types"));
  EXPECT_THAT(test::error_of([&] { Trial(backend(), options_with("1:0.1", SelectionMethod::kNone)).optimizer.step(); }),
              HasSubstr("after begin_epoch"));
}

TEST_P(OptimizerTest, AStepNeedsItsBeginning) {
  Trial run(backend(), options_with("1:0.1", SelectionMethod::kNone));
  run.optimizer.begin_epoch(1);
  run.step(0);
  EXPECT_THAT(test::error_of([&] { run.optimizer.step(); }), HasSubstr("expected begin_step() before each forward"));
}

TEST_P(OptimizerTest, DropoutsOfOneMaskAreRefused) {
  const StepState state = test::make_step_state(backend());
  const auto optimizer_of = [&](std::uint32_t substream, float probability) {
    Sequential network;
    network.append(std::make_shared<Dropout>(DropoutParams{0.5f, 0}, state));
    network.append(std::make_shared<Linear>(backend(), 2, 2));
    network.append(std::make_shared<Dropout>(DropoutParams{probability, substream}, state));
    Optimizer(network, state, options_with("1:0.1", SelectionMethod::kNone));
  };
  EXPECT_EQ(test::error_of([&] { optimizer_of(1, 0.5f); }), "");
  EXPECT_EQ(test::error_of([&] { optimizer_of(0, 0); }), "");
  EXPECT_EQ(test::error_of([&] { optimizer_of(0, 0.5f); }),
            "the dropouts 0 and 2 would draw the same mask: give each another DropoutParams::substream");
}

/// y = x W^T W^T: a layer that is used twice has one gradient, the sum of both uses, and is listed once.
TEST_P(OptimizerTest, ALayerUsedTwiceIsTrainedOnceWithTheSumOfItsGradients) {
  const StepState state = test::make_step_state(backend());
  Sequential network;
  const auto shared = std::make_shared<Linear>(backend(), 1, 1, false);
  network.append(shared);
  network.append(shared);
  shared->own_parameters()[0].variable.value().copy_from_host(std::span<const float>(std::vector<float>{3}));
  OptimizerOptions options = options_with("2:0.125:2", SelectionMethod::kMeasure);
  options.sgd.momentum = options.sgd.weight_decay = 0;
  Optimizer optimizer(network, state, options);
  optimizer.begin_epoch(1);
  optimizer.begin_step();
  network.forward(Variable(test::tensor_of(backend(), {1, 1}, {1})), Mode::kTraining)
      .backward(test::tensor_of(backend(), {1, 1}, {1}));
  optimizer.step();  // y = w w x, so its gradient is 2 w x = 6
  EXPECT_EQ(shared->own_parameters()[0].variable.value().to_host<float>(), std::vector<float>{3 - 0.125f * 6});
  const std::vector<LayerReport> layers = optimizer.end_epoch()->read();
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(layers[0].count, 1);
  EXPECT_EQ(layers[0].g_prime, 1.0);
}

TEST_P(OptimizerTest, FrozenLayersKeepTheirWeightsAndAreNotSelected) {
  const StepState state = test::make_step_state(backend());
  SmallNet network(backend());
  named_layers(network)[0].layer->freeze();
  const auto before = test::bits_of(network.named_parameters()[0].variable.value());
  Optimizer optimizer(network, state, options_with("2:0.1:2", SelectionMethod::kMeasure));
  optimizer.begin_epoch(1);
  optimizer.begin_step();
  network.forward(Variable(test::normal_tensor(backend(), {2, 5, 5, 3}, 1)), Mode::kTraining)
      .backward(test::normal_tensor(backend(), {2, 301}, 2));
  optimizer.step();
  EXPECT_EQ(test::bits_of(network.named_parameters()[0].variable.value()), before);
  for (const LayerReport& layer : optimizer.end_epoch()->read()) EXPECT_NE(layer.name, "conv1");
}

TEST(NoiseFloorTest, IsTheMeasureOfIndependentGradients) {
  EXPECT_NEAR(noise_floor(391), 0.051, 0.0005);
  EXPECT_EQ(noise_floor(1), 1.0);
  EXPECT_THAT(test::error_of([] { noise_floor(0); }), HasSubstr("one iteration"));
}

INSTANTIATE_TEST_SUITE_P(Devices, OptimizerTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
