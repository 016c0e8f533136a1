// SPDX-License-Identifier: MIT
// Tests what the benchmarks rely on: a wrong result is detected, time is measured per call, and the lists of
// convolutions match the networks.
#include <chrono>
#include <cmath>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/convolution_problem.h"
#include "gradamp/tests/core/error_of.h"

namespace gradamp::bench {
namespace {

using test::error_of;

TEST(Verification, SeesAWrongValue) {
  const std::vector<double> expected = {1, 2, 3, 4};
  EXPECT_EQ(error_of([&] { check_agrees("it", expected, expected, 1e-6); }), "");
  EXPECT_NE(error_of([&] { check_agrees("it", std::vector<double>{1, 2, 3, 4.001}, expected, 1e-4); }), "");
  EXPECT_EQ(error_of([&] { check_agrees("it", std::vector<double>{1, 2, 3, 4.001}, expected, 1e-3); }), "");
}

TEST(Verification, SeesNaNsAndMissingValues) {
  const std::vector<double> expected = {1, 2};
  EXPECT_NE(error_of([&] { check_agrees("it", std::vector<double>{1, NAN}, expected, 1); }), "");
  EXPECT_NE(error_of([&] { check_agrees("it", std::vector<double>{1, 2}, std::vector<double>{1, NAN}, 1); }), "");
  EXPECT_NE(error_of([&] { check_agrees("it", std::vector<double>{1}, expected, 1); }), "");
  EXPECT_NE(error_of([&] { check_agrees("it", std::vector<double>{}, std::vector<double>{}, 1); }), "");
  EXPECT_NE(error_of([&] { check_written("it", std::vector<float>{1, NAN}); }), "");
  EXPECT_EQ(error_of([&] { check_written("it", std::vector<float>{1, 2}); }), "");
}

TEST(Verification, PoisonIsNaNInBothTypes) {
  const std::unique_ptr<Backend> backend = make_backend({});
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Tensor tensor = random_tensor(*backend, {100}, dtype, 0);
    EXPECT_EQ(error_of([&] { check_written("it", host_values(tensor)); }), "");
    poison(tensor);
    for (const float value : host_values(tensor)) EXPECT_TRUE(std::isnan(value));
  }
}

TEST(Data, IsTheSameEveryTimeAndNotZero) {
  const std::vector<float> values = random_values(1000, 3);
  EXPECT_EQ(random_values(1000, 3), values);
  EXPECT_NE(random_values(1000, 4), values);
  double squares = 0;
  for (const float value : values) squares += double{value} * double{value} / 1000;
  EXPECT_NEAR(squares, 1.0 / 3, 0.05);  // uniform in [-1, 1)
}

TEST(Data, RepeatsWithAPrimePeriod) {
  const std::vector<float> values = random_values(1'100'000, 3);
  EXPECT_EQ(values[1'048'573], values[0]);
  EXPECT_NE(values[1'048'576], values[0]);
  EXPECT_EQ(std::vector<float>(values.begin(), values.begin() + 1000), random_values(1000, 3));
}

TEST(Data, ComesBackRoundedFromBf16) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const std::vector<float> exact = host_values(random_tensor(*backend, {1000}, DType::kF32, 5));
  const std::vector<float> rounded = host_values(random_tensor(*backend, {1000}, DType::kBF16, 5));
  EXPECT_NE(rounded, exact);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(rounded[i], exact[i], std::abs(exact[i]) / 256);
}

TEST(Timing, CountsCallsNotReplays) {
  const TimingOptions options{0, 1, 1, 0, 0.02, 3};
  int replays = 0, waits = 0;
  const auto replay = [&] {
    ++replays;
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
  };
  const Timing timing = time_replays(
      4, replay, [&] { ++waits; }, options);
  EXPECT_GE(timing.fastest, 1e-3);  // 4 ms for 4 calls; a sleep takes at least its time
  EXPECT_LE(timing.fastest, timing.seconds);
  EXPECT_LE(timing.seconds, timing.slowest);
  EXPECT_GE(replays, 3 + 3) << "two to record, one to warm up, one at least in each of three rounds";
  EXPECT_GE(waits, 5);
}

TEST(Timing, GoesRoundOverAllSets) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const TimingOptions options{0, 8, 5, 0, 0, 1};
  std::vector<int> sets;
  time_recorded(
      *backend, 3, [&](int set) { sets.push_back(set); }, options);
  ASSERT_EQ(sets.size() % 6, 0u) << "5 calls at least, in whole rounds over 3 sets: 6 in a recording";
  for (std::size_t i = 0; i < sets.size(); ++i) EXPECT_EQ(sets[i], static_cast<int>(i % 3));
}

TEST(Timing, SetsFillMoreThanACache) {
  const TimingOptions options{1000, 16, 1, 0, 0, 1};
  EXPECT_EQ(buffer_sets(300, options), 4);
  EXPECT_EQ(buffer_sets(2000, options), 1);
  EXPECT_EQ(buffer_sets(1, options), 16) << "no more than the most";
}

double flops_of(const std::string& network) {
  double flops = 0;
  for (const auto& [shape, counts] : convolutions_of({network}, 1)) flops += counts.at(network) * shape.flops();
  return flops;
}

// The usual numbers of multiply-adds of the convolutions for 32x32 images; one is two FLOP.
TEST(Convolutions, AreTheNetworks) {
  EXPECT_NEAR(flops_of("resnet18") / 2, 0.5558e9, 0.001e9);
  EXPECT_NEAR(flops_of("resnet50") / 2, 1.298e9, 0.002e9);
  EXPECT_NEAR(flops_of("vgg19") / 2, 0.398e9, 0.001e9);
  EXPECT_NEAR(flops_of("resnet20") / 2, 0.04055e9, 0.00001e9);
}

TEST(Convolutions, AreFewIfQuick) {
  double flops = 0;
  for (const std::string& network : default_networks(true)) flops += flops_of(network);
  EXPECT_LT(default_batch(true) * flops, 0.1e9);
  EXPECT_EQ(default_networks(false).size(), 3u);
  EXPECT_EQ(default_batch(false), 128);
}

TEST(Convolutions, AreCountedOnceAShape) {
  const ShapeCounts counts = convolutions_of({"resnet18", "vgg19"}, 128);
  const ConvolutionShape shared{128, 32, 64, 64, 3, {1, 1}};
  ASSERT_EQ(counts.count(shared), 1u);
  EXPECT_EQ(counts.at(shared).at("resnet18"), 4);
  EXPECT_EQ(counts.at(shared).at("vgg19"), 1);
  EXPECT_EQ(shared.name(), "3x3_64x64_32_s1");
  std::set<std::string> names;
  int layers = 0;
  for (const auto& [shape, networks] : counts) {
    EXPECT_TRUE(names.insert(shape.name()).second) << shape.name();
    for (const auto& [network, count] : networks) layers += count;
  }
  EXPECT_EQ(layers, 20 + 16);
  EXPECT_NE(error_of([] { convolutions_of({"resnet19"}, 1); }), "");
}

}  // namespace
}  // namespace gradamp::bench
