// SPDX-License-Identifier: MIT
// G, G' and their normalized values from given sums, against plain loops in float64 and against results by hand.
#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/optim/optim_support.h"

namespace gradamp {
namespace {

using Sums = std::vector<std::vector<float>>;

class MeasureTest : public test::DeviceTest {
 protected:
  /// Rows G, G', normalized G, normalized G'.
  static std::vector<std::vector<double>> measure(Backend& device, const Sums& signed_sums, const Sums& absolute_sums,
                                                  Granularity granularity) {
    Arena arena = test::arena_of_sums(device, signed_sums, absolute_sums);
    if (granularity == Granularity::kNeuron) {  // without the padding
      std::vector<float> s, a;
      for (const std::vector<float>& layer : signed_sums) s.insert(s.end(), layer.begin(), layer.end());
      for (const std::vector<float>& layer : absolute_sums) a.insert(a.end(), layer.begin(), layer.end());
      arena.signed_sums = test::tensor_of(device, {arena.layers.neurons()}, s);
      arena.absolute_sums = test::tensor_of(device, {arena.layers.neurons()}, a);
      std::vector<LayerRange> ranges = arena.layers.ranges();
      for (LayerRange& range : ranges) range.count = -1;  // the number of weights is not used
      arena.layers = LayerTable(device, ranges);
    }
    const auto layers = static_cast<std::int64_t>(signed_sums.size());
    const Tensor measures = Tensor::empty(device, {kMeasureCount, layers}, DType::kF64);
    device.measure_layers(arena, granularity, measures);
    const std::vector<double> values = measures.to_host<double>();
    std::vector<std::vector<double>> rows;
    for (std::int64_t row = 0; row < kMeasureCount; ++row)
      rows.emplace_back(values.begin() + row * layers, values.begin() + (row + 1) * layers);
    return rows;
  }
  std::vector<std::vector<double>> measure(const Sums& signed_sums, const Sums& absolute_sums,
                                           Granularity granularity = Granularity::kWeight) {
    return measure(backend(), signed_sums, absolute_sums, granularity);
  }
};

std::vector<double> normalized(const std::vector<double>& values) {
  double mean = 0, variance = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) variance += (value - mean) * (value - mean) / static_cast<double>(values.size());
  std::vector<double> result;
  for (const double value : values) result.push_back((value - mean) / std::sqrt(variance));
  return result;
}

/// Synthetic sums of layers of odd sizes, some with weights that never changed.
void make_sums(Sums& signed_sums, Sums& absolute_sums) {
  std::uint32_t substream = 0;
  for (const std::int64_t count : {1, 255, 256, 257, 1000, 70001}) {
    std::vector<float> s = test::normal_values(count, ++substream), a = test::normal_values(count, ++substream);
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (i % 7 == 3) s[i] = a[i] = 0;
      a[i] = std::abs(s[i]) + std::abs(a[i]) * static_cast<float>(substream);
    }
    signed_sums.push_back(s);
    absolute_sums.push_back(a);
  }
}

TEST_P(MeasureTest, AgreesWithPlainLoops) {
  Sums signed_sums, absolute_sums;
  make_sums(signed_sums, absolute_sums);
  std::vector<double> g, g_prime;
  for (std::size_t l = 0; l < signed_sums.size(); ++l) {
    double s = 0, a = 0, ratios = 0;
    for (std::size_t i = 0; i < signed_sums[l].size(); ++i) {
      const double signed_sum = static_cast<double>(signed_sums[l][i]), sum = static_cast<double>(absolute_sums[l][i]);
      s += std::abs(signed_sum);
      a += sum;
      if (sum > 0) ratios += std::abs(signed_sum) / sum;
    }
    g.push_back(s / a);
    g_prime.push_back(ratios / static_cast<double>(signed_sums[l].size()));
  }
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    const auto rows = measure(signed_sums, absolute_sums, granularity);
    // The same 70,001 numbers are summed in double in another order.
    EXPECT_TRUE(test::agrees(rows[kG], g, 1e-13));
    EXPECT_TRUE(test::agrees(rows[kGPrime], g_prime, 1e-13));
    EXPECT_TRUE(test::agrees(rows[kNormalizedG], normalized(g), 1e-12));
    EXPECT_TRUE(test::agrees(rows[kNormalizedGPrime], normalized(g_prime), 1e-12));
  }
}

TEST_P(MeasureTest, TheSameBitsOnAnyNumberOfThreads) {
  Sums signed_sums, absolute_sums;
  make_sums(signed_sums, absolute_sums);
  const auto one = make_backend(GetParam().device, {.threads = 1});
  const auto two = make_backend(GetParam().device, {.threads = 2});
  for (const Granularity granularity : {Granularity::kWeight, Granularity::kNeuron}) {
    const auto expected = measure(*one, signed_sums, absolute_sums, granularity);
    EXPECT_EQ(measure(*two, signed_sums, absolute_sums, granularity), expected);
    EXPECT_EQ(measure(signed_sums, absolute_sums, granularity), expected);
  }
}

TEST_P(MeasureTest, ByHand) {
  // The second layer: |S| = 1 + 1 + 0, A = 1 + 3 + 0, so G = 2/4 and G' = (1 + 1/3 + 0) / 3.
  const auto rows = measure({{2, -2}, {-1, 1, 0}, {0}}, {{2, 2}, {1, 3, 0}, {5}});
  EXPECT_EQ(rows[kG], (std::vector<double>{1, 0.5, 0}));
  EXPECT_DOUBLE_EQ(rows[kGPrime][1], (1 + 1.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(rows[kNormalizedG][0], std::sqrt(1.5));  // the population std of 1, 1/2, 0 is sqrt(1/6)
  EXPECT_DOUBLE_EQ(rows[kNormalizedG][1], 0);
  EXPECT_DOUBLE_EQ(rows[kNormalizedG][2], -std::sqrt(1.5));
}

TEST_P(MeasureTest, ALayerWithoutGradientsMeasuresZero) {
  const auto rows = measure({{0, 0, 0}, {1, 2}}, {{0, 0, 0}, {4, 4}});
  EXPECT_EQ(rows[kG], (std::vector<double>{0, 0.375}));
  EXPECT_EQ(rows[kGPrime], (std::vector<double>{0, 0.375}));
  EXPECT_DOUBLE_EQ(rows[kNormalizedG][0], -1);
  EXPECT_DOUBLE_EQ(rows[kNormalizedG][1], 1);
}

TEST_P(MeasureTest, EqualLayersNormalizeToZero) {
  const std::vector<double> zeros(3, 0.0);
  auto rows = measure({{0}, {0}, {0}}, {{0}, {0}, {0}});
  EXPECT_EQ(rows[kNormalizedG], zeros);
  EXPECT_EQ(rows[kNormalizedGPrime], zeros);
  // 1/10 three times: the last bit of the mean differs from the value, and the std is 1e-17.
  rows = measure({{1}, {1}, {1}}, {{10}, {10}, {10}});
  EXPECT_EQ(rows[kG], std::vector<double>(3, 0.1));
  EXPECT_EQ(rows[kNormalizedG], zeros);
  EXPECT_EQ(rows[kNormalizedGPrime], zeros);
  rows = measure({{3, -4}}, {{6, 7}});  // a single layer
  EXPECT_EQ(rows[kNormalizedG], std::vector<double>(1, 0.0));
  // A difference of one float32 rounding counts as a difference.
  rows = measure({{1}, {1.0000001f}}, {{10}, {10}});
  EXPECT_NEAR(rows[kNormalizedG][1], 1, 1e-6);
}

TEST_P(MeasureTest, OneConstantOnALayersGradientsChangesNothing) {
  Sums signed_sums, absolute_sums;
  make_sums(signed_sums, absolute_sums);
  const auto expected = measure(signed_sums, absolute_sums);
  for (float& value : signed_sums[4]) value *= 4;  // a power of two is exact
  for (float& value : absolute_sums[4]) value *= 4;
  EXPECT_EQ(measure(signed_sums, absolute_sums), expected);
}

INSTANTIATE_TEST_SUITE_P(Devices, MeasureTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
