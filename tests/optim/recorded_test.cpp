// SPDX-License-Identifier: MIT
// Statistics, measures, selections and updates, compared with results that PyTorch and NumPy recorded in float64: for a
// synthetic epoch of random gradients, for an epoch of resnet8, and with the placement `backprop`.
#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/nets/networks.h"
#include "gradamp/tests/optim/made_up_epoch.h"
#include "gradamp/tests/optim/optim_support.h"
#include "gradamp/tests/oracle/recorded.h"

namespace gradamp {
namespace {

using nlohmann::json;
using test::MadeUpNetwork;
using test::matches_sketch;

constexpr std::uint32_t kEpochImageSubstream = 2000, kEpochLabelSubstream = 3000;

Granularity granularity_of(const json& record) {
  return record.at("granularity") == "neuron" ? Granularity::kNeuron : Granularity::kWeight;
}

LayerMeasure measure_of(const json& record) { return record.at("measure") == "G" ? kG : kGPrime; }

SgdParams sgd_of(const json& recorded, Granularity granularity, bool nesterov) {
  return {.momentum = recorded.at("sgd").at("momentum").get<float>(),
          .weight_decay = recorded.at("sgd").at("weight_decay").get<float>(),
          .nesterov = nesterov,
          .accumulate = true,
          .granularity = granularity};
}

StepState state_of(Backend& backend, const json& recorded) {
  StepState state = oracle::make_state(backend);
  const float rate = recorded.at("sgd").at("learning_rate").get<float>();
  state.learning_rate.copy_from_host(std::span<const float>(&rate, 1));
  return state;
}

/// Maximum differences of measures from the recorded ones. A layer whose normalized value is within `normalized` of a
/// threshold may be selected or not.
struct Tolerances {
  double values = 0, normalized = 0;
};

/// Compares the measures of an arena's sums, and the selections made from them, with the recorded ones.
class MeasureCheck {
 public:
  MeasureCheck(const Arena& arena, const json& recorded, Granularity granularity, Tolerances tolerances)
      : recorded_(recorded), granularity_(granularity), tolerances_(tolerances), layers_(arena.layers.ranges().size()) {
    Backend& backend = arena.weights.backend();
    measures_ = Tensor::empty(backend, {kMeasureCount, static_cast<std::int64_t>(layers_)}, DType::kF64);
    backend.measure_layers(arena, granularity, measures_);
  }

  void values() const {
    const std::vector<double> found = measures_.to_host<double>();
    for (const LayerMeasure measure : {kG, kGPrime}) {
      const json& record = record_of(measure);
      const std::size_t row = measure, normalized_row = row + kNormalizedG;
      for (std::size_t l = 0; l < layers_; ++l) {
        EXPECT_NEAR(found[row * layers_ + l], record.at("values")[l].get<double>(), tolerances_.values)
            << record["measure"] << " of layer " << l;
        EXPECT_NEAR(found[normalized_row * layers_ + l], record.at("normalised")[l].get<double>(),
                    tolerances_.normalized)
            << "normalised " << record["measure"] << " of layer " << l;
      }
    }
  }

  void selections() const {
    std::set<std::size_t> sizes;
    for (const json& record : recorded_.at("selections")) {
      if (granularity_of(record) != granularity_) continue;
      const double threshold = record.at("threshold").get<double>();
      const auto selection_case = static_cast<SelectionCase>(record.at("case").get<int>());
      const Tensor factors = Tensor::empty(measures_.backend(), {static_cast<std::int64_t>(layers_)});
      measures_.backend().select_layers(measures_, {measure_of(record), selection_case, threshold, 2.0f}, factors);
      const std::vector<float> found = factors.to_host<float>();
      const auto expected = record.at("selected").get<std::set<std::size_t>>();
      for (std::size_t l = 0; l < layers_; ++l) {
        double score = record_of(measure_of(record)).at("normalised")[l].get<double>();
        if (selection_case == SelectionCase::kTwoSided) score = std::abs(score);
        if (std::abs(score - threshold) <= tolerances_.normalized) continue;
        EXPECT_EQ(found[l] == 2.0f, expected.count(l) == 1) << record << " layer " << l;
      }
      sizes.insert(expected.size());
    }
    EXPECT_GT(sizes.size(), 2u);  // the thresholds select different numbers of layers
  }

 private:
  const json& record_of(LayerMeasure measure) const {
    for (const json& record : recorded_.at("measures"))
      if (granularity_of(record) == granularity_ && measure_of(record) == measure) return record;
    fail("nothing recorded for this measure and granularity");
  }

  const json& recorded_;
  Granularity granularity_;
  Tolerances tolerances_;
  std::size_t layers_;
  Tensor measures_;
};

void expect_sums(const Arena& arena, const json& recorded, Granularity granularity) {
  const std::vector<float> signed_sums = arena.signed_sums.to_host<float>();
  const std::vector<float> absolute_sums = arena.absolute_sums.to_host<float>();
  for (const json& record : recorded.at("sums")) {
    if (granularity_of(record) != granularity) continue;
    for (std::size_t l = 0; l < arena.layers.ranges().size(); ++l) {
      const LayerRange& layer = arena.layers.ranges()[l];
      const bool by_weight = granularity == Granularity::kWeight;
      const std::int64_t begin = by_weight ? layer.begin : layer.neuron_begin;
      const std::int64_t length = by_weight ? layer.end - layer.begin : layer.neurons;
      double s = 0, a = 0;
      for (std::int64_t i = begin; i < begin + length; ++i) {
        s += std::abs(static_cast<double>(signed_sums[static_cast<std::size_t>(i)]));
        a += static_cast<double>(absolute_sums[static_cast<std::size_t>(i)]);
      }
      EXPECT_EQ(by_weight ? layer.count : layer.neurons, record.at("counts")[l].get<std::int64_t>());
      const double expected_s = record.at("signed")[l].get<double>(),
                   expected_a = record.at("absolute")[l].get<double>();
      // Twenty float32 roundings of sums of about A.
      EXPECT_NEAR(s, expected_s, 1e-6 * expected_a);
      EXPECT_NEAR(a, expected_a, 1e-6 * expected_a);
    }
  }
}

class RecordedTest : public test::DeviceTest {
 protected:
  void made_up_epoch(Granularity granularity, bool nesterov);
};

void RecordedTest::made_up_epoch(Granularity granularity, bool nesterov) {
  const json recorded = oracle::read("optim/recorded/made_up_epoch.json");
  ASSERT_EQ(recorded.at("seed"), oracle::kSeed);
  const json& tensors = recorded.at("tensors");
  MadeUpNetwork network(backend(), recorded);
  test::set_made_weights(network, tensors);

  ParameterArena arena(network);
  arena.enable_statistics(granularity);
  const StepState state = state_of(backend(), recorded);
  std::vector<float> factors;
  for (const ArenaLayer& layer : arena.layers()) {
    const json& amplified = recorded.at("amplified");
    const bool is_amplified = std::find(amplified.begin(), amplified.end(), layer.name) != amplified.end();
    factors.push_back(is_amplified ? recorded.at("factor").get<float>() : 1.0f);
  }
  const Tensor device_factors = test::tensor_of(backend(), {static_cast<std::int64_t>(factors.size())}, factors);
  const auto steps = recorded.at("steps").get<std::uint32_t>();
  for (std::uint32_t step = 0; step < steps; ++step) {
    arena.begin_step();
    test::receive_made_gradients(network, tensors, step, steps);
    arena.finish_gradients();
    backend().sgd_step(arena.arena(), device_factors, state, sgd_of(recorded, granularity, nesterov));
    backend().advance_step(state, 1);
  }

  expect_sums(arena.arena(), recorded, granularity);
  // No recorded normalized value is within 1e-3 of a threshold, so every selection is compared.
  const MeasureCheck measures(arena.arena(), recorded, granularity, {1e-5, 1e-5});
  measures.values();
  measures.selections();
  std::uint32_t ordinal = 0;
  for (const NamedParameter& parameter : network.named_parameters()) {
    const auto expected =
        recorded.at("weights")[ordinal++].at(nesterov ? "nesterov" : "sgd").get<std::vector<double>>();
    EXPECT_TRUE(test::agrees(oracle::host_values(parameter.variable.value()), expected, 2e-6))
        << parameter.name;  // twenty float32 updates
  }
}

TEST_P(RecordedTest, MadeUpEpochByWeight) { made_up_epoch(Granularity::kWeight, false); }
TEST_P(RecordedTest, MadeUpEpochByNeuron) { made_up_epoch(Granularity::kNeuron, false); }
TEST_P(RecordedTest, MadeUpEpochWithNesterov) { made_up_epoch(Granularity::kWeight, true); }

TEST_P(RecordedTest, AnEpochOfResnet8) {
  const json recorded = oracle::read("optim/recorded/resnet8_epoch.json");
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    const std::shared_ptr<Module> network = make_network("resnet8", backend());
    oracle::set_initial(*network, recorded.at("parameters"));
    ParameterArena arena(*network);
    ASSERT_EQ(arena.layers().size(), recorded.at("layers").size());
    for (std::size_t l = 0; l < arena.layers().size(); ++l) {
      EXPECT_EQ(arena.layers()[l].name, recorded["layers"][l].at("name"));
      EXPECT_EQ(name_of(arena.layers()[l].type), recorded["layers"][l].at("type"));
    }
    EXPECT_EQ(arena.parameter_count(), recorded.at("parameter_count").get<std::int64_t>());
    arena.enable_statistics(granularity);
    const StepState state = state_of(backend(), recorded);
    const Tensor factors = test::filled(backend(), static_cast<std::int64_t>(arena.layers().size()), 1.0f);
    for (std::uint32_t step = 0; step < recorded.at("steps").get<std::uint32_t>(); ++step) {
      const Batch batch = oracle::make_batch(backend(), recorded.at("batch"), kEpochImageSubstream + step,
                                             kEpochLabelSubstream + step, 10);
      arena.begin_step();
      const Variable logits = network->forward(Variable(batch.images), Mode::kTraining);
      const Variable loss = softmax_cross_entropy(logits, batch.labels, state);
      loss.backward();
      arena.finish_gradients();
      backend().sgd_step(arena.arena(), factors, state, sgd_of(recorded, granularity, false));
      backend().advance_step(state, 1);
      EXPECT_NEAR(loss.value().to_host<float>()[0], recorded.at("losses")[step].get<double>(), 1e-5) << step;
    }
    // PyTorch's float32 differs from its float64 by 6e-6 in the values and by 7e-5 in the normalized ones.
    const MeasureCheck measures(arena.arena(), recorded, granularity, {1e-5, 2e-4});
    measures.values();
    measures.selections();
    std::uint32_t ordinal = 0;
    for (const NamedParameter& parameter : network->named_parameters()) {
      const json& sketch = recorded.at("weights")[ordinal];
      ASSERT_EQ(sketch.at("name"), parameter.name);
      EXPECT_TRUE(matches_sketch(parameter.variable.value(), sketch, ordinal++, 1e-5));
    }
  }
}

TEST_P(RecordedTest, TwentyStepsWithLabelSmoothing) {
  const json recorded = oracle::read("optim/recorded/label_smoothing.json");
  const std::shared_ptr<Module> network = make_network("resnet8", backend());
  oracle::set_initial(*network, recorded.at("parameters"));
  ParameterArena arena(*network);
  const StepState state = state_of(backend(), recorded);
  const Tensor factors = test::filled(backend(), static_cast<std::int64_t>(arena.layers().size()), 1.0f);
  SgdParams sgd = sgd_of(recorded, Granularity::kWeight, false);
  sgd.accumulate = false;
  for (std::uint32_t step = 0; step < recorded.at("steps").get<std::uint32_t>(); ++step) {
    const Batch batch = oracle::make_batch(backend(), recorded.at("batch"), kEpochImageSubstream + step,
                                           kEpochLabelSubstream + step, 10);
    arena.begin_step();
    const Variable logits = network->forward(Variable(batch.images), Mode::kTraining);
    const Variable loss =
        softmax_cross_entropy(logits, batch.labels, state, {recorded.at("label_smoothing").get<double>()});
    loss.backward();
    arena.finish_gradients();
    backend().sgd_step(arena.arena(), factors, state, sgd);
    backend().advance_step(state, 1);
    EXPECT_NEAR(loss.value().to_host<float>()[0], recorded.at("losses")[step].get<double>(), 1e-5) << step;
  }
  std::uint32_t ordinal = 0;
  for (const NamedParameter& parameter : network->named_parameters()) {
    const json& sketch = recorded.at("weights")[ordinal];
    ASSERT_EQ(sketch.at("name"), parameter.name);
    EXPECT_TRUE(matches_sketch(parameter.variable.value(), sketch, ordinal++, 1e-5));
  }
}

TEST_P(RecordedTest, PlacementBackpropInResnet8) {
  const json recorded = oracle::read("optim/recorded/resnet8_backprop.json");
  const json start = oracle::read("nets/recorded/resnet8_10.json");
  ASSERT_EQ(recorded.at("start"), start.at("start"));
  const Tensor factors = test::tensor_of(backend(), {2}, {1.0f, recorded.at("factor").get<float>()});
  for (const std::string placement : {"layers", "relus"}) {
    const std::shared_ptr<Module> network = make_network("resnet8", backend());
    oracle::set_initial(*network, start.at("parameters"));
    const json& amplified = recorded.at(placement + "_amplified");
    std::size_t found_layers = 0;
    for (const NamedLayer& named : named_layers(*network)) {
      const bool is_amplified = std::find(amplified.begin(), amplified.end(), named.name) != amplified.end();
      named.layer->set_grad_scale({factors, is_amplified ? 1 : 0});
      found_layers += is_amplified ? 1 : 0;
    }
    ASSERT_EQ(found_layers, amplified.size());
    const StepState state = oracle::make_state(backend());
    const Batch batch = oracle::make_batch(backend(), recorded.at("batch"), recorded.at("image_substream"),
                                           recorded.at("label_substream"), 10);
    softmax_cross_entropy(network->forward(Variable(batch.images), Mode::kTraining), batch.labels, state).backward();
    std::uint32_t ordinal = 0;
    for (const NamedParameter& parameter : network->named_parameters()) {
      const json& sketch = recorded.at(placement + "_gradients")[ordinal];
      ASSERT_EQ(sketch.at("name"), parameter.name);
      // The error of PyTorch's float32 is 1.4e-6.
      EXPECT_TRUE(matches_sketch(parameter.variable.grad(), sketch, ordinal++, 2e-5));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, RecordedTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
