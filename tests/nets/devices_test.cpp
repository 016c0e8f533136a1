// SPDX-License-Identifier: MIT
// Trains every network for three steps on the CPU and on each device that runs the CUDA kernels, and compares losses,
// weights, momentum, sums, G, G' and the selection. The runs start from the recorded parameters (tests/oracle), whose
// ReLU inputs stay away from zero, so that rounding changes no decision.
#include <cmath>
#include <limits>
#include <ostream>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "gradamp/kernels/backends.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/oracle/recorded.h"

namespace gradamp {
namespace {

using nlohmann::json;

constexpr int kSteps = 3;
constexpr double kThreshold = 0.5;

/// The results of three steps.
struct Outcome {
  std::vector<float> losses;
  std::vector<LayerRange> ranges;
  std::vector<float> weights, momentum, signed_sums, absolute_sums;
  std::vector<LayerReport> layers;
};

/// Accumulates every gradient and selects layers at the end: the analyzed epoch of an amplifying phase. Then trains one
/// step of the amplified epoch.
Outcome train(const test::TestDevice& device, const json& recorded, std::int64_t batch_size, Granularity granularity) {
  const std::unique_ptr<Backend> backend = device.make();
  const StepState state = oracle::make_state(*backend);
  const int classes = recorded.at("classes");
  const std::shared_ptr<Module> network = make_network(recorded.at("network"), *backend, {classes, 0, state});
  oracle::set_initial(*network, recorded.at("parameters"));
  const Batch batch =
      oracle::make_batch(*backend, batch_size, recorded.at("image_substream"), recorded.at("label_substream"), classes);
  OptimizerOptions options;
  options.sgd.granularity = granularity;
  options.strategy.phases = {{2, recorded.at("sgd").at("learning_rate"), true, 2}};
  options.selection.measure = kG;
  options.selection.selection_case = SelectionCase::kTwoSided;
  options.selection.threshold = kThreshold;
  Optimizer optimizer(*network, state, options);

  Outcome outcome;
  optimizer.begin_epoch(1);
  for (int step = 0; step < kSteps; ++step) {
    if (step == kSteps - 1) {
      const Arena& arena = optimizer.arena().arena();
      outcome.signed_sums = arena.signed_sums.to_host<float>();
      outcome.absolute_sums = arena.absolute_sums.to_host<float>();
      outcome.layers = optimizer.end_epoch()->read();
      optimizer.begin_epoch(2);
    }
    optimizer.begin_step();
    const Variable images = cast(Variable(batch.images), backend->activation_dtype());
    const Variable loss = softmax_cross_entropy(network->forward(images, Mode::kTraining), batch.labels, state);
    loss.backward();
    optimizer.step();
    backend->advance_step(state, batch_size);
    outcome.losses.push_back(loss.value().to_host<float>()[0]);
  }
  const Arena& arena = optimizer.arena().arena();
  outcome.ranges = arena.layers.ranges();
  outcome.weights = arena.weights.to_host<float>();
  outcome.momentum = arena.momentum.to_host<float>();
  return outcome;
}

/// The norm of the difference over the norm of `expected`, over all elements.
double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  return oracle::relative_error(actual, std::vector<double>(expected.begin(), expected.end()));
}

/// The largest relative error of a layer.
double worst_layer(const std::vector<LayerRange>& ranges, const std::vector<float>& actual,
                   const std::vector<float>& expected) {
  double worst = 0;
  for (const LayerRange& range : ranges) {
    const auto part = [&](const std::vector<float>& all) {
      return std::vector<float>(all.begin() + range.begin, all.begin() + range.end);
    };
    const double error = relative_error(part(actual), part(expected));
    if (!(error <= worst)) worst = error;  // a NaN counts as the largest
  }
  return worst;
}

/// Tolerances: relative in norm, or absolute for measures in [0, 1] and their normalized values.
struct Tolerances {
  double loss, weights, momentum, sums, measures, normalized;
};

/// Layers with a tensor whose true gradient is zero (tests/oracle/README.md). G' weighs all elements equally, so for
/// these layers half of it consists of rounding errors. G is barely affected.
std::set<std::string> vanishing_layers(const json& recorded) {
  std::set<std::string> layers;
  for (const json& parameter : recorded.at("parameters")) {
    const std::string name = parameter.at("name");
    if (parameter.at("vanishing").get<bool>()) layers.insert(name.substr(0, name.rfind('.')));
  }
  return layers;
}

void expect_agreement(const Outcome& actual, const Outcome& expected, const Tolerances& tolerances,
                      const std::set<std::string>& vanishing = {}) {
  for (std::size_t step = 0; step < expected.losses.size(); ++step)
    EXPECT_NEAR(actual.losses[step], expected.losses[step], tolerances.loss * std::abs(expected.losses[step]));
  const double weights = worst_layer(expected.ranges, actual.weights, expected.weights);
  const double momentum = relative_error(actual.momentum, expected.momentum);
  const double signed_sums = relative_error(actual.signed_sums, expected.signed_sums);
  const double absolute_sums = relative_error(actual.absolute_sums, expected.absolute_sums);
  EXPECT_LE(weights, tolerances.weights);
  EXPECT_LE(momentum, tolerances.momentum);
  EXPECT_LE(signed_sums, tolerances.sums);
  EXPECT_LE(absolute_sums, tolerances.sums);
  double measures = 0;
  int selected = 0;
  ASSERT_EQ(actual.layers.size(), expected.layers.size());
  for (std::size_t l = 0; l < expected.layers.size(); ++l) {
    const LayerReport &ours = actual.layers[l], &theirs = expected.layers[l];
    SCOPED_TRACE(theirs.name);
    EXPECT_NEAR(*ours.g, *theirs.g, tolerances.measures);
    if (vanishing.count(theirs.name) == 0) {
      EXPECT_NEAR(*ours.g_prime, *theirs.g_prime, tolerances.measures);
      measures = std::max(measures, std::abs(*ours.g_prime - *theirs.g_prime));
    }
    EXPECT_NEAR(*ours.normalized_g, *theirs.normalized_g, tolerances.normalized);
    if (std::abs(std::abs(*theirs.normalized_g) - kThreshold) > tolerances.normalized) {
      EXPECT_EQ(ours.selected, theirs.selected);
    }
    measures = std::max(measures, std::abs(*ours.g - *theirs.g));
    selected += ours.selected ? 1 : 0;
  }
  EXPECT_GT(selected, 0);
  std::printf("  weights %.1e, momentum %.1e, sums %.1e, %.1e, measures %.1e; %d of %zu layers selected\n", weights,
              momentum, signed_sums, absolute_sums, measures, selected, actual.layers.size());
}

struct Case {
  const char* recorded;
  std::int64_t batch;

  friend void PrintTo(const Case& value, std::ostream* out) { *out << value.recorded; }
};

std::vector<test::TestDevice> gpu_devices() {
  std::vector<test::TestDevice> all = test::devices();
  std::erase_if(all, [](const test::TestDevice& device) { return device.device.kind == DeviceKind::kCpu; });
  return all;
}

class NetworkOnDevice : public testing::TestWithParam<std::tuple<test::TestDevice, Case>> {
 protected:
  test::TestDevice device_ = std::get<0>(GetParam());
  Case case_ = std::get<1>(GetParam());
  json recorded_ = oracle::read(std::string("nets/recorded/") + case_.recorded + ".json");
  test::TestDevice cpu_ = test::devices()[0];
};

// Rounding errors in f32, through up to 110 layers forward and backward, for three steps. A normalized value is a
// measure divided by the std over the layers, which is about a hundredth of the measure here.
constexpr Tolerances kF32 = {1e-5, 1e-5, 1e-4, 1e-4, 2e-4, 2e-2};

TEST_P(NetworkOnDevice, AgreesWithTheCpu) {
  expect_agreement(train(device_, recorded_, case_.batch, Granularity::kWeight),
                   train(cpu_, recorded_, case_.batch, Granularity::kWeight), kF32, vanishing_layers(recorded_));
}

std::string network_name(const testing::TestParamInfo<std::tuple<test::TestDevice, Case>>& info) {
  return std::get<0>(info.param).name + "_" + std::get<1>(info.param).recorded;
}

// Max pooling makes decisions too: vgg19 has the batch size of its recorded start, at which none is close.
const auto kEveryNetwork =
    testing::Values(Case{"resnet8_10", 4}, Case{"resnet20_10", 4}, Case{"resnet32_10", 2}, Case{"resnet56_10", 2},
                    Case{"resnet110_10", 2}, Case{"vgg19_10", 4}, Case{"resnet18_10", 2}, Case{"resnet34_10", 2},
                    Case{"resnet50_10", 2}, Case{"resnet101_10", 2});

INSTANTIATE_TEST_SUITE_P(Networks, NetworkOnDevice, testing::Combine(testing::ValuesIn(gpu_devices()), kEveryNetwork),
                         network_name);

constexpr double kNotCompared = std::numeric_limits<double>::infinity();

class SmallNetworkOnDevice : public NetworkOnDevice {};

TEST_P(SmallNetworkOnDevice, AgreesByNeuron) {
  expect_agreement(train(device_, recorded_, case_.batch, Granularity::kNeuron),
                   train(cpu_, recorded_, case_.batch, Granularity::kNeuron), kF32);
}

/// The emulated device with the convolutions of compute capability 9.0.
test::TestDevice emulated_hopper() {
  return {"emulated_hopper_bf16",
          Device{DeviceKind::kEmulated},
          {.precision = Precision::kBF16, .convolution = ConvolutionMethod::kHopper}};
}

class HopperNetwork : public NetworkOnDevice {};

// A missing wait or fence gives other bits in another order of the threads.
TEST_P(HopperNetwork, GivesTheSameBitsInEveryOrder) {
  const auto train_in = [&](ThreadOrder order, std::uint64_t seed) {
    test::TestDevice device = device_;
    device.options.thread_order = order;
    device.options.shuffle_seed = seed;
    return train(device, recorded_, case_.batch, Granularity::kWeight);
  };
  const Outcome forward = train_in(ThreadOrder::kForward, 1);
  const auto expect_equal = [&](const Outcome& other) {
    EXPECT_EQ(other.losses, forward.losses);
    EXPECT_TRUE(other.weights == forward.weights);
    EXPECT_TRUE(other.signed_sums == forward.signed_sums);
  };
  for (const float loss : forward.losses) EXPECT_TRUE(std::isfinite(loss));
  expect_equal(train_in(ThreadOrder::kReverse, 1));
  expect_equal(train_in(ThreadOrder::kShuffled, 1));
  expect_equal(train_in(ThreadOrder::kShuffled, 2));
}

INSTANTIATE_TEST_SUITE_P(Networks, HopperNetwork, testing::Combine(testing::Values(emulated_hopper()), kEveryNetwork),
                         network_name);

/// Every device with its precisions other than f32.
std::vector<test::TestDevice> lower_precisions() {
  std::vector<test::TestDevice> all = {emulated_hopper()};
  for (const test::TestDevice& device : test::devices()) {
    for (const Precision precision : {Precision::kTF32, Precision::kBF16}) {
      if (device.device.kind == DeviceKind::kCpu && precision == Precision::kTF32) continue;
      test::TestDevice lower = device;
      lower.name += std::string("_") + name_of(precision);
      lower.options.precision = precision;
      all.push_back(lower);
    }
  }
  return all;
}

class LowerPrecision : public NetworkOnDevice {};

// tf32 rounds to 11 bits and bf16 to 8, so some ReLUs decide differently. Normalized values are not compared: after so
// few steps the std over the layers is as small as the measures' errors.
TEST_P(LowerPrecision, IsNearF32OnTheCpu) {
  const Tolerances tolerances = device_.options.precision == Precision::kTF32
                                    ? Tolerances{1e-3, 1e-3, 0.1, 3e-2, 5e-2, kNotCompared}
                                    : Tolerances{1e-2, 5e-3, 0.1, 0.1, 0.1, kNotCompared};
  expect_agreement(train(device_, recorded_, case_.batch, Granularity::kWeight),
                   train(cpu_, recorded_, case_.batch, Granularity::kWeight), tolerances);
}

INSTANTIATE_TEST_SUITE_P(Networks, LowerPrecision,
                         testing::Combine(testing::ValuesIn(lower_precisions()),
                                          testing::Values(Case{"resnet8_10", 4})),
                         network_name);

INSTANTIATE_TEST_SUITE_P(Networks, SmallNetworkOnDevice,
                         testing::Combine(testing::ValuesIn(gpu_devices()), testing::Values(Case{"resnet8_10", 4})),
                         network_name);

}  // namespace
}  // namespace gradamp
