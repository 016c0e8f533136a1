// SPDX-License-Identifier: MIT
// Random selection on the host and selection by a measure on the device.
#include "optim/selection.h"

#include <limits>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/test_support.h"

namespace gradamp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(DrawLayersTest, DrawsTheRoundedFraction) {
  EXPECT_EQ(draw_layers(20, 0.5, 1, 51).size(), 10u);
  EXPECT_EQ(draw_layers(5, 0.5, 1, 51).size(), 3u);   // 2.5 rounds up
  EXPECT_EQ(draw_layers(7, 0.2, 1, 51).size(), 1u);   // 1.4
  EXPECT_EQ(draw_layers(7, 0.01, 1, 51).size(), 1u);  // one at least
  EXPECT_THAT(draw_layers(4, 1.0, 1, 51), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(draw_layers(0, 0.5, 1, 51), IsEmpty());
}

TEST(DrawLayersTest, DrawsWithoutReplacementAndAsTheSeedSays) {
  std::set<std::vector<std::size_t>> seen;
  std::vector<int> hits(12, 0);
  for (int epoch = 1; epoch <= 400; ++epoch) {
    const std::vector<std::size_t> drawn = draw_layers(12, 0.25, 7, epoch);
    EXPECT_EQ(drawn, draw_layers(12, 0.25, 7, epoch));
    const std::set<std::size_t> distinct(drawn.begin(), drawn.end());
    EXPECT_EQ(distinct.size(), 3u);
    EXPECT_LT(*distinct.rbegin(), 12u);
    for (const std::size_t i : drawn) ++hits[i];
    seen.insert(drawn);
  }
  EXPECT_GT(seen.size(), 100u);  // of the 220 there are
  // 100 expected each, standard deviation 8.7: five of them.
  for (const int count : hits) EXPECT_NEAR(count, 100, 44);
  EXPECT_NE(draw_layers(40, 0.5, 7, 1), draw_layers(40, 0.5, 8, 1));
}

TEST(SelectionOptionsTest, RefusesWhatIsOutOfRange) {
  const auto error_with = [](auto change) {
    SelectionOptions options;
    change(options);
    return test::error_of([&] { options.validate(); });
  };
  EXPECT_EQ(error_with([](SelectionOptions&) {}), "");
  EXPECT_THAT(error_with([](SelectionOptions& o) { o.threshold = std::nan(""); }), HasSubstr("finite threshold"));
  EXPECT_THAT(error_with([](SelectionOptions& o) { o.measure = kNormalizedG; }), HasSubstr("measure G or G'"));
  EXPECT_THAT(error_with([](SelectionOptions& o) { o.selection_case = static_cast<SelectionCase>(3); }),
              HasSubstr("case 1 or 2, got 3"));
  for (const double fraction : {0.0, -0.5, 1.5, std::nan("")}) {
    EXPECT_THAT(error_with([&](SelectionOptions& o) {
                  o.method = SelectionMethod::kRandom;
                  o.fraction = fraction;
                }),
                HasSubstr("fraction in (0, 1]"));
  }
  EXPECT_THAT(error_with([](SelectionOptions& o) {
                o.method = SelectionMethod::kRandom;
                o.types.clear();
              }),
              HasSubstr("one type of layer"));
}

class SelectLayersTest : public test::DeviceTest {};

TEST_P(SelectLayersTest, ComparesStrictlyByCaseAndMeasure) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  // Rows G, G', normalised G, normalised G'; only the normalised ones count.
  const std::vector<double> values = {9, 9, 9, 9,  9,  9,   9,    9,   9,   9,   9,   9,
                                      1, 2, 0, -2, -1, nan, -1.5, 1.5, nan, 0.5, 1.0, 1.0000000000000002};
  const Tensor measures = Tensor::from_host(backend(), {kMeasureCount, 6}, values);
  const auto select = [&](LayerMeasure measure, SelectionCase selection_case) {
    const Tensor factors = test::tensor_of(backend(), {6}, std::vector<float>(6, 5.0f));
    backend().select_layers(measures, {measure, selection_case, 1.0, 3.0f}, factors);
    return factors.to_host<float>();
  };
  EXPECT_THAT(select(kG, SelectionCase::kOneSided), ElementsAre(1, 3, 1, 1, 1, 1));
  EXPECT_THAT(select(kG, SelectionCase::kTwoSided), ElementsAre(1, 3, 1, 3, 1, 1));
  EXPECT_THAT(select(kGPrime, SelectionCase::kOneSided), ElementsAre(1, 3, 1, 1, 1, 3));
  EXPECT_THAT(select(kGPrime, SelectionCase::kTwoSided), ElementsAre(3, 3, 1, 1, 1, 3));
}

INSTANTIATE_TEST_SUITE_P(Devices, SelectLayersTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp
