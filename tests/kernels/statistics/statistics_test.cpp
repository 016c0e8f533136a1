// SPDX-License-Identifier: MIT
// gradamp::statistics through its C interface, as other programs use it: against sums in double.
#include "gradamp/kernels/statistics/gradamp_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gradamp/core/bf16.h"
#include "gradamp/core/f16.h"
#include "gradamp/core/philox.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/tests/optim/optim_support.h"

namespace gradamp {
namespace {

using testing::HasSubstr;

struct Destroy {
  void operator()(gradamp_statistics* statistics) const { gradamp_statistics_destroy(statistics); }
};
using Statistics = std::unique_ptr<gradamp_statistics, Destroy>;

Statistics make(const std::vector<gradamp_tensor>& tensors, gradamp_statistics_options options = {}) {
  gradamp_statistics* made = nullptr;
  EXPECT_EQ(gradamp_statistics_create(tensors.data(), static_cast<std::int32_t>(tensors.size()), &options, &made),
            GRADAMP_OK)
      << gradamp_statistics_last_error();
  return Statistics(made);
}

/// Three layers. The first has more elements than a task, and its tensors are apart; the third is a vector.
const std::vector<gradamp_tensor> kTensors = {
    {40 * 900, 40, 0, 0}, {7 * 30, 7, 1, 0}, {40, 40, 0, 0}, {7, 7, 1, 0}, {33, 33, 2, 0}};
constexpr int kLayers = 3, kIterations = 6;

using Gradients = std::vector<std::vector<float>>;

/// Gradients of kTensors. Those of layer 1 lean to one side, and a tenth is zero.
Gradients draw(int iteration) {
  PhiloxSequence random(9, RandomStream::kTest, static_cast<std::uint32_t>(iteration));
  Gradients all;
  for (const gradamp_tensor& tensor : kTensors) {
    std::vector<float>& gradient = all.emplace_back();
    for (std::int64_t i = 0; i < tensor.count; ++i) {
      const auto drawn = static_cast<float>(random.below(2001)) / 1000.0f - (tensor.layer == 1 ? 0.5f : 1.0f);
      gradient.push_back(i % 10 == 3 ? 0.0f : drawn);
    }
  }
  return all;
}

std::vector<const void*> pointers(const Gradients& gradients) {
  std::vector<const void*> all;
  for (const auto& gradient : gradients) all.push_back(gradient.data());
  return all;
}

void accumulate(const Statistics& statistics, const Gradients& gradients) {
  ASSERT_EQ(gradamp_statistics_accumulate(statistics.get(), pointers(gradients).data(), nullptr), GRADAMP_OK);
}

std::vector<gradamp_layer_measures> measure(const Statistics& statistics) {
  std::vector<gradamp_layer_measures> layers(static_cast<std::size_t>(gradamp_statistics_layers(statistics.get())));
  EXPECT_EQ(gradamp_statistics_measure(statistics.get(), layers.data()), GRADAMP_OK);
  return layers;
}

std::vector<char> state_of(const Statistics& statistics) {
  std::vector<char> state(gradamp_statistics_state_size(statistics.get()));
  EXPECT_EQ(gradamp_statistics_save(statistics.get(), state.data(), state.size()), GRADAMP_OK);
  return state;
}

/// The definitions, in double: sums of each weight or neuron of a layer.
struct Expected {
  std::vector<double> signed_sums, absolute_sums;
  double l1 = 0, square_sum = 0, maximum = 0, sum = 0, zeros = 0, gradients = 0;

  double g() const {
    double numerator = 0, denominator = 0;
    for (std::size_t i = 0; i < signed_sums.size(); ++i) {
      numerator += std::fabs(signed_sums[i]);
      denominator += absolute_sums[i];
    }
    return numerator / denominator;
  }
  double g_prime() const {
    double ratios = 0;
    for (std::size_t i = 0; i < signed_sums.size(); ++i)
      if (absolute_sums[i] > 0) ratios += std::fabs(signed_sums[i]) / absolute_sums[i];
    return ratios / static_cast<double>(signed_sums.size());
  }
};

Expected expected(int layer, bool by_neuron) {
  Expected result;
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    const Gradients gradients = draw(iteration);
    std::vector<double> of_iteration;
    for (std::size_t t = 0; t < kTensors.size(); ++t) {
      if (kTensors[t].layer != layer) continue;
      const std::int64_t length = kTensors[t].count / kTensors[t].rows;
      if (by_neuron && of_iteration.empty()) of_iteration.resize(static_cast<std::size_t>(kTensors[t].rows));
      for (std::int64_t i = 0; i < kTensors[t].count; ++i) {
        const double g = gradients[t][static_cast<std::size_t>(i)];
        if (by_neuron) {
          of_iteration[static_cast<std::size_t>(i / length)] += g;
        } else {
          of_iteration.push_back(g);
        }
        result.l1 += std::fabs(g) / kIterations;
        result.square_sum += g * g / kIterations;
        result.maximum = std::max(result.maximum, std::fabs(g));
        result.sum += g;
        result.zeros += g == 0 ? 1 : 0;
        result.gradients += 1;
      }
    }
    result.signed_sums.resize(of_iteration.size());
    result.absolute_sums.resize(of_iteration.size());
    for (std::size_t i = 0; i < of_iteration.size(); ++i) {
      result.signed_sums[i] += of_iteration[i];
      result.absolute_sums[i] += std::fabs(of_iteration[i]);
    }
  }
  return result;
}

class Granularities : public testing::TestWithParam<int> {};

TEST_P(Granularities, MeasuresAreTheirDefinitions) {
  const bool by_neuron = GetParam() == 1;
  const Statistics statistics = make(kTensors, {GetParam(), 3, GRADAMP_CPU, 0});
  for (int iteration = 0; iteration < kIterations; ++iteration) accumulate(statistics, draw(iteration));
  EXPECT_EQ(gradamp_statistics_iterations(statistics.get()), kIterations);
  EXPECT_EQ(gradamp_statistics_noise_floor(statistics.get()), 1 / std::sqrt(6.0));
  const auto layers = measure(statistics);
  ASSERT_EQ(layers.size(), std::size_t{kLayers});
  double sum = 0, square_sum = 0;
  for (int l = 0; l < kLayers; ++l) {
    SCOPED_TRACE(l);
    const gradamp_layer_measures& got = layers[static_cast<std::size_t>(l)];
    const Expected want = expected(l, by_neuron);
    EXPECT_NEAR(got.g, want.g(), 1e-6);
    EXPECT_NEAR(got.g_prime, want.g_prime(), 1e-6);
    EXPECT_NEAR(got.l1, want.l1, 1e-6 * want.l1);  // by weight it is the sum of float sums
    EXPECT_NEAR(got.l2, std::sqrt(want.square_sum), 1e-9);
    EXPECT_EQ(got.maximum, want.maximum);
    EXPECT_NEAR(got.mean, want.sum / want.gradients, 1e-7);
    EXPECT_NEAR(got.zeros, want.zeros / want.gradients, 1e-12);
    EXPECT_EQ(got.count, static_cast<std::int64_t>(want.signed_sums.size()));
    EXPECT_EQ(got.not_finite, 0);
    double positive = 0, agreeing = 0;
    for (std::size_t i = 0; i < want.signed_sums.size(); ++i) {
      positive += want.absolute_sums[i] > 0 ? 1 : 0;
      agreeing += want.absolute_sums[i] > 0 && want.absolute_sums[i] == std::fabs(want.signed_sums[i]) ? 1 : 0;
    }
    EXPECT_NEAR(got.sign_agreement, agreeing / positive, 1e-12);
    sum += want.g();
    square_sum += want.g() * want.g();
  }
  const double mean = sum / kLayers, deviation = std::sqrt(square_sum / kLayers - mean * mean);
  for (int l = 0; l < kLayers; ++l)
    EXPECT_NEAR(layers[static_cast<std::size_t>(l)].normalized_g, (expected(l, by_neuron).g() - mean) / deviation,
                1e-4);
}

TEST_P(Granularities, TheirNumberOfThreadsChangesNoBit) {
  std::vector<char> first;
  for (const int threads : {1, 2, 5}) {
    const Statistics statistics = make(kTensors, {GetParam(), threads, GRADAMP_CPU, 0});
    for (int iteration = 0; iteration < kIterations; ++iteration) accumulate(statistics, draw(iteration));
    const std::vector<char> state = state_of(statistics);
    if (first.empty()) first = state;
    EXPECT_TRUE(state == first) << threads;
  }
}

TEST_P(Granularities, ARestoredStateGoesOnToTheSameBits) {
  const Statistics unbroken = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0}),
                   restored = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0});
  for (int iteration = 0; iteration < 3; ++iteration) accumulate(unbroken, draw(iteration));
  const std::vector<char> state = state_of(unbroken);
  accumulate(restored, draw(5));  // replaced
  ASSERT_EQ(gradamp_statistics_restore(restored.get(), state.data(), state.size()), GRADAMP_OK);
  for (const Statistics* statistics : {&unbroken, &restored}) accumulate(*statistics, draw(3));
  EXPECT_EQ(gradamp_statistics_iterations(restored.get()), 4);
  EXPECT_TRUE(state_of(restored) == state_of(unbroken));

  ASSERT_EQ(gradamp_statistics_reset(restored.get()), GRADAMP_OK);
  EXPECT_TRUE(state_of(restored) == state_of(make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0})));
}

TEST_P(Granularities, WhatIsNotFiniteIsCountedAndInNoNumber) {
  const Statistics zeroed = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0}),
                   bad = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0});
  Gradients gradients = draw(0);
  for (const std::size_t i : {std::size_t{0}, std::size_t{899}, gradients[0].size() - 1}) gradients[0][i] = 0;
  accumulate(zeroed, gradients);
  gradients[0][0] = INFINITY;
  gradients[0][899] = -INFINITY;
  gradients[0].back() = NAN;
  accumulate(bad, gradients);
  auto got = measure(bad), want = measure(zeroed);
  EXPECT_EQ(got[0].not_finite, 3);
  EXPECT_EQ(got[1].not_finite, 0);
  EXPECT_EQ(got[0].g, want[0].g);
  EXPECT_EQ(got[0].l2, want[0].l2);
  EXPECT_EQ(got[0].maximum, want[0].maximum);
  EXPECT_TRUE(std::isfinite(got[0].mean));
}

TEST_P(Granularities, ATensorWithoutAGradientHasZeros) {
  const Statistics given = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0}),
                   missing = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0});
  Gradients gradients = draw(0);
  gradients[1].assign(gradients[1].size(), 0.0f);
  accumulate(given, gradients);
  std::vector<const void*> addresses = pointers(gradients);
  addresses[1] = nullptr;
  ASSERT_EQ(gradamp_statistics_accumulate(missing.get(), addresses.data(), nullptr), GRADAMP_OK);
  EXPECT_TRUE(state_of(missing) == state_of(given));
}

TEST_P(Granularities, TypesOf16BitsAreTheirValues) {
  const Statistics f32 = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0}),
                   mixed = make(kTensors, {GetParam(), 0, GRADAMP_CPU, 0});
  Gradients gradients = draw(0);
  std::vector<Bf16> bf16;
  for (float& value : gradients[0]) {
    bf16.emplace_back(value);
    value = bf16.back();
  }
  std::vector<F16> f16;
  for (float& value : gradients[1]) {
    f16.push_back({to_f16(value)});
    value = f16.back();
  }
  accumulate(f32, gradients);
  std::vector<const void*> addresses = pointers(gradients);
  addresses[0] = bf16.data();
  addresses[1] = f16.data();
  const std::vector<std::int32_t> types = {GRADAMP_BF16, GRADAMP_F16, GRADAMP_F32, GRADAMP_F32, GRADAMP_F32};
  ASSERT_EQ(gradamp_statistics_accumulate(mixed.get(), addresses.data(), types.data()), GRADAMP_OK);
  EXPECT_TRUE(state_of(mixed) == state_of(f32));
}

/// Sets GRADAMP_ISA while it exists.
class ChosenSet {
 public:
  explicit ChosenSet(const char* name) { setenv("GRADAMP_ISA", name, 1); }
  ~ChosenSet() { unsetenv("GRADAMP_ISA"); }
};

TEST_P(Granularities, EveryInstructionSetHasTheSameBits) {
  std::vector<std::vector<char>> states;
  for (const char* const set : {"sse4", "avx2", "avx512", "avx512bf16", "neon"}) {
    const ChosenSet chosen(set);
    const gradamp_statistics_options options = {GetParam(), 1, GRADAMP_CPU, 0};
    gradamp_statistics* made = nullptr;
    if (gradamp_statistics_create(kTensors.data(), static_cast<int>(kTensors.size()), &options, &made) != GRADAMP_OK) {
      EXPECT_THAT(gradamp_statistics_last_error(), HasSubstr("of this processor"));
      continue;
    }
    const Statistics statistics(made);
    for (int iteration = 0; iteration < 3; ++iteration) accumulate(statistics, draw(iteration));
    states.push_back(state_of(statistics));
  }
  ASSERT_FALSE(states.empty());
  for (const auto& state : states) EXPECT_TRUE(state == states.front());
}

TEST(Statistics, AnUnknownInstructionSetIsRefused) {
  const ChosenSet chosen("mmx");
  gradamp_statistics* none = nullptr;
  EXPECT_EQ(gradamp_statistics_create(kTensors.data(), static_cast<int>(kTensors.size()), nullptr, &none),
            GRADAMP_INVALID_ARGUMENT);
  EXPECT_STREQ(gradamp_statistics_last_error(),
               "GRADAMP_ISA: expected an instruction set of this processor, got 'mmx'");
}

TEST(Statistics, EveryF16IsItsValue) {
  std::vector<F16> gradients;
  double absolute_sum = 0, square_sum = 0, maximum = 0;
  std::int64_t not_finite = 0;
  for (int bits = 0; bits < 0x10000; ++bits) {
    gradients.push_back({static_cast<std::uint16_t>(bits)});
    // sign, 5 bits of exponent, 10 of mantissa (IEEE 754)
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31) {
      ++not_finite;
      continue;
    }
    const double value = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    absolute_sum += value;
    square_sum += value * value;
    maximum = std::max(maximum, value);
  }
  const gradamp_tensor tensor = {static_cast<std::int64_t>(gradients.size()), 1, 0, 0};
  for (const std::int32_t by_neuron : {0, 1}) {
    const Statistics statistics = make({tensor}, {by_neuron, 1, GRADAMP_CPU, 0});
    const void* const address = gradients.data();
    const std::int32_t type = GRADAMP_F16;
    ASSERT_EQ(gradamp_statistics_accumulate(statistics.get(), &address, &type), GRADAMP_OK);
    gradamp_layer_measures measures;
    ASSERT_EQ(gradamp_statistics_measure(statistics.get(), &measures), GRADAMP_OK);
    EXPECT_NEAR(measures.l1, absolute_sum, 1e-12 * absolute_sum);  // 65536 additions in double
    EXPECT_NEAR(measures.l2, std::sqrt(square_sum), 1e-12 * std::sqrt(square_sum));
    EXPECT_EQ(measures.maximum, maximum);
    EXPECT_NEAR(measures.mean, 0, 1e-9);
    EXPECT_EQ(measures.not_finite, not_finite);
    EXPECT_DOUBLE_EQ(measures.zeros, 2.0 / 0x10000);
  }
}

INSTANTIATE_TEST_SUITE_P(By, Granularities, testing::Values(0, 1),
                         [](const auto& by) { return by.param == 0 ? "weight" : "neuron"; });

TEST(Statistics, SelectionIsByCaseAndMeasure) {
  std::vector<gradamp_layer_measures> layers(3);
  layers[0].normalized_g = 1.0;
  layers[1].normalized_g = 1.5;
  layers[2].normalized_g = -1.5;
  layers[0].normalized_g_prime = 2;
  const auto select = [&](gradamp_selection selection) {
    std::vector<float> factors(3);
    EXPECT_EQ(gradamp_select(layers.data(), 3, &selection, factors.data()), GRADAMP_OK);
    return factors;
  };
  EXPECT_EQ(select({GRADAMP_G, 0, 1.0, 2.0f}), (std::vector<float>{1, 2, 1}));  // strictly greater
  EXPECT_EQ(select({GRADAMP_G, 1, 1.0, 2.0f}), (std::vector<float>{1, 2, 2}));
  EXPECT_EQ(select({GRADAMP_G_PRIME, 0, 1.0, 3.0f}), (std::vector<float>{3, 1, 1}));
}

TEST(Statistics, ARandomSelectionIsTheEngines) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const Tensor candidates = Tensor::from_host(*backend, {7}, std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6});
  for (int epoch = 1; epoch < 5; ++epoch) {
    const Tensor theirs = Tensor::empty(*backend, {7});
    backend->select_random_layers(candidates, {42, epoch, 3, 2.0f}, theirs);
    std::vector<float> ours(7);
    ASSERT_EQ(gradamp_select_random(7, 3, 42, epoch, 2.0f, ours.data()), GRADAMP_OK);
    EXPECT_EQ(ours, theirs.to_host<float>());
    EXPECT_EQ(std::count(ours.begin(), ours.end(), 2.0f), 3);
  }
}

TEST(Statistics, TheSelectionIsTheEngines) {
  const std::unique_ptr<Backend> backend = make_backend({});
  for (const auto granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    for (const auto measured : {kG, kGPrime}) {
      for (const auto selection_case : {SelectionCase::kOneSided, SelectionCase::kTwoSided}) {
        OptimizerOptions options;
        options.strategy = parse_strategy("2:0.1:3");
        options.sgd.granularity = granularity;
        options.selection.measure = measured;
        options.selection.selection_case = selection_case;
        options.selection.threshold = 0.5;
        test::SmallNet network(*backend);
        Optimizer optimizer(network, make_step_state(*backend, 1), options);
        std::vector<gradamp_tensor> tensors;
        std::vector<const void*> gradients;
        for (const ArenaLayer& layer : optimizer.arena().layers()) {
          for (const ArenaParameter& parameter : layer.parameters) {
            const Tensor& gradient = parameter.variable.grad();
            const auto index = static_cast<std::int32_t>(&layer - optimizer.arena().layers().data());
            tensors.push_back({gradient.count(), gradient.shape()[0], index, 0});
            gradients.push_back(gradient.data<float>());
          }
        }
        const Statistics statistics = make(tensors, {granularity == Granularity::kNeuron ? 1 : 0, 0, GRADAMP_CPU, 0});
        optimizer.begin_epoch(1);
        for (std::uint32_t step = 0; step < 5; ++step) {
          optimizer.begin_step();
          const Variable x(test::normal_tensor(*backend, {2, 5, 5, 3}, 2 * step));
          network.forward(x, Mode::kTraining).backward(test::normal_tensor(*backend, {2, 301}, 2 * step + 1));
          ASSERT_EQ(gradamp_statistics_accumulate(statistics.get(), gradients.data(), nullptr), GRADAMP_OK);
          optimizer.step();
        }
        const std::vector<LayerReport> theirs = optimizer.end_epoch().value().read();
        const std::vector<gradamp_layer_measures> ours = measure(statistics);
        const gradamp_selection selection = {measured == kG ? GRADAMP_G : GRADAMP_G_PRIME,
                                             selection_case == SelectionCase::kTwoSided ? 1 : 0, 0.5, 3.0f};
        std::vector<float> factors(theirs.size());
        ASSERT_EQ(gradamp_select(ours.data(), static_cast<std::int32_t>(ours.size()), &selection, factors.data()),
                  GRADAMP_OK);
        int selected = 0;
        for (std::size_t l = 0; l < theirs.size(); ++l) {
          EXPECT_EQ(factors[l], theirs[l].factor) << theirs[l].name;
          EXPECT_NEAR(ours[l].g, theirs[l].g.value(), 1e-7);
          EXPECT_NEAR(ours[l].g_prime, theirs[l].g_prime.value(), 1e-7);
          selected += theirs[l].selected ? 1 : 0;
        }
        EXPECT_GT(selected, 0);
      }
    }
  }
}

TEST(Statistics, ScaleMultipliesTheGradientsOfTheirLayer) {
  const Statistics statistics = make({{2, 2, 0, 0}, {2, 1, 1, 0}, {3, 3, 1, 0}, {1, 1, 2, 0}});
  std::vector<float> first = {1, 2}, last = {5};
  std::vector<Bf16> second = {Bf16(3.0f), Bf16(-1.0f)};
  std::vector<F16> third = {{to_f16(0.5f)}, {to_f16(2.0f)}, {to_f16(-60000.0f)}};
  void* gradients[] = {first.data(), second.data(), third.data(), nullptr};
  const std::int32_t types[] = {GRADAMP_F32, GRADAMP_BF16, GRADAMP_F16, GRADAMP_F32};
  const float factors[] = {1, 2, 7};
  ASSERT_EQ(gradamp_statistics_scale(statistics.get(), gradients, types, factors), GRADAMP_OK);
  EXPECT_EQ(first, (std::vector<float>{1, 2}));
  EXPECT_EQ(static_cast<float>(second[0]), 6);
  EXPECT_EQ(static_cast<float>(second[1]), -2);
  EXPECT_EQ(static_cast<float>(third[1]), 4);
  EXPECT_EQ(static_cast<float>(third[2]), -INFINITY);  // as a multiplication in f16
  gradients[3] = last.data();
  ASSERT_EQ(gradamp_statistics_scale(statistics.get(), gradients, types, factors), GRADAMP_OK);
  EXPECT_EQ(last[0], 35);
}

/// Expects the status and a message that contains the text.
void expect_refusal(gradamp_status status, const char* message, gradamp_status expected = GRADAMP_INVALID_ARGUMENT) {
  EXPECT_EQ(status, expected);
  EXPECT_THAT(gradamp_statistics_last_error(), HasSubstr(message));
}

TEST(Statistics, WrongTensorsAreRefused) {
  const auto refuse = [](std::vector<gradamp_tensor> tensors, const char* message) {
    gradamp_statistics* made = nullptr;
    expect_refusal(gradamp_statistics_create(tensors.data(), static_cast<std::int32_t>(tensors.size()), nullptr, &made),
                   message);
    EXPECT_EQ(made, nullptr);
  };
  refuse({{0, 1, 0, 0}}, "tensors[0].count: expected at least 1, got 0");
  refuse({{4, 4, 0, 0}, {6, 4, 0, 0}}, "tensors[1].rows: expected a divisor of the count 6, got 4");
  refuse({{6, 0, 0, 0}}, "tensors[0].rows: expected a divisor of the count 6, got 0");
  refuse({{6, 6, -1, 0}}, "tensors[0].layer: expected a number from 0 to that of tensors less 1, 0, got -1");
  refuse({{6, 6, 1, 0}}, "less 1, 0, got 1");
  refuse({{6, 6, 0, 0}, {6, 6, 2, 0}, {6, 6, 2, 0}},
         "expected layers without gaps, got none of layer 1 and one of layer 2");
  refuse({{6, 6, 0, 3}}, "tensors[0].reserved: expected 0, got 3");
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  refuse({{kMost, 1, 0, 0}}, "a sum of counts that can be addressed");
  refuse({}, "expected an address, got NULL");
  gradamp_statistics* made = nullptr;
  expect_refusal(gradamp_statistics_create(kTensors.data(), 0, nullptr, &made),
                 "tensor_count: expected at least 1, got 0");
  expect_refusal(gradamp_statistics_create(kTensors.data(), 5, nullptr, nullptr), "statistics: expected an address");
  gradamp_statistics_options options = {2, 0, GRADAMP_CPU, 0};
  expect_refusal(gradamp_statistics_create(kTensors.data(), 5, &options, &made), "options.by_neuron: expected 0 or 1");
  options = {0, 0, 2, 0};
  expect_refusal(gradamp_statistics_create(kTensors.data(), 5, &options, &made),
                 "options.device: expected GRADAMP_CPU or GRADAMP_CUDA, got 2");
  options = {0, 0, GRADAMP_CPU, 1};
  expect_refusal(gradamp_statistics_create(kTensors.data(), 5, &options, &made), "options.ordinal: expected 0");
  if (gradamp_statistics_has_cuda() == 0) {
    options = {0, 0, GRADAMP_CUDA, 0};
    expect_refusal(gradamp_statistics_create(kTensors.data(), 5, &options, &made),
                   "options.device: this library was built without CUDA");
  }
  options = {0, -1, GRADAMP_CPU, 0};
  expect_refusal(gradamp_statistics_create(kTensors.data(), 5, &options, &made), "options.threads: expected 0 to 1024");
#ifndef __SANITIZE_ADDRESS__  // which ends the program if there is no memory
  const gradamp_tensor huge = {std::int64_t{1} << 58, 1, 0, 0};
  expect_refusal(gradamp_statistics_create(&huge, 1, nullptr, &made), "out of memory", GRADAMP_OUT_OF_MEMORY);
#endif
}

TEST(Statistics, WrongArgumentsAreRefusedAndChangeNothing) {
  const Statistics statistics = make(kTensors);
  const std::vector<char> before = state_of(statistics);
  const Gradients gradients = draw(0);
  const std::vector<std::int32_t> types = {0, 0, 3, 0, 0};
  gradamp_statistics* const s = statistics.get();
  expect_refusal(gradamp_statistics_accumulate(s, pointers(gradients).data(), types.data()),
                 "types[2]: expected GRADAMP_F32, GRADAMP_BF16 or GRADAMP_F16, got 3");
  expect_refusal(gradamp_statistics_accumulate(s, nullptr, nullptr), "got NULL");
  expect_refusal(gradamp_statistics_accumulate(nullptr, pointers(gradients).data(), nullptr), "got NULL");
  expect_refusal(gradamp_statistics_measure(s, nullptr), "got NULL");
  expect_refusal(gradamp_statistics_reset(nullptr), "got NULL");
  expect_refusal(gradamp_statistics_scale(s, nullptr, nullptr, nullptr), "got NULL");
  std::vector<char> state = before;
  expect_refusal(gradamp_statistics_save(s, state.data(), state.size() - 1), "size: expected");
  expect_refusal(gradamp_statistics_save(s, nullptr, state.size()), "got NULL");
  expect_refusal(gradamp_statistics_restore(s, state.data(), state.size() + 1), "size: expected");
  expect_refusal(gradamp_statistics_restore(s, nullptr, state.size()), "got NULL");
  for (const std::size_t byte : {0, 8, 12, 16}) {  // magic, version, granularity, layout
    state = before;
    state[byte] = static_cast<char>(state[byte] + 1);
    expect_refusal(gradamp_statistics_restore(s, state.data(), state.size()), "expected one of these tensors");
  }
  EXPECT_TRUE(state_of(statistics) == before);

  const std::vector<gradamp_layer_measures> layers(3);
  std::vector<float> factors(3);
  const auto refuse = [&](gradamp_selection selection, const char* message) {
    expect_refusal(gradamp_select(layers.data(), 3, &selection, factors.data()), message);
  };
  refuse({2, 0, 1, 2}, "selection.measure: expected GRADAMP_G or GRADAMP_G_PRIME, got 2");
  refuse({0, 2, 1, 2}, "selection.two_sided: expected 0 or 1, got 2");
  refuse({0, 0, NAN, 2}, "selection.threshold: expected a number, got NaN");
  refuse({0, 0, 1, INFINITY}, "selection.factor: expected a finite number, got inf");
  const gradamp_selection good = {0, 0, 1, 2};
  expect_refusal(gradamp_select(nullptr, 3, &good, factors.data()), "got NULL");
  expect_refusal(gradamp_select(layers.data(), 0, &good, factors.data()), "layer_count: expected at least 1, got 0");
  expect_refusal(gradamp_select_random(0, 0, 1, 1, 2, factors.data()), "layer_count: expected at least 1, got 0");
  expect_refusal(gradamp_select_random(3, 4, 1, 1, 2, factors.data()),
                 "drawn: expected 0 to the number of layers, 3, got 4");
  expect_refusal(gradamp_select_random(3, 1, 1, -1, 2, factors.data()), "epoch: expected at least 0, got -1");
  expect_refusal(gradamp_select_random(3, 1, 1, 1, NAN, factors.data()), "factor: expected a finite number");
  expect_refusal(gradamp_select_random(3, 1, 1, 1, 2, nullptr), "factors: expected an address");
}

TEST(Statistics, WithoutAnIterationNumbersAreZero) {
  const Statistics statistics = make(kTensors);
  for (const gradamp_layer_measures& layer : measure(statistics)) {
    EXPECT_EQ(layer.g, 0);
    EXPECT_EQ(layer.g_prime, 0);
    EXPECT_EQ(layer.normalized_g, 0);
    EXPECT_EQ(layer.mean, 0);
    EXPECT_EQ(layer.sign_agreement, 0);
  }
  EXPECT_TRUE(std::isnan(gradamp_statistics_noise_floor(statistics.get())));
  gradamp_statistics_destroy(nullptr);
  EXPECT_STREQ(gradamp_statistics_version(), GRADAMP_TEST_VERSION);
}

}  // namespace
}  // namespace gradamp
