// SPDX-License-Identifier: MIT
// Random selection, and selection by a measure.
#include "gradamp/optim/selection.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/random_selection.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DrawnCount, IsTheRoundedFraction) {
  EXPECT_EQ(drawn_count(20, 0.5), 10);
  EXPECT_EQ(drawn_count(5, 0.5), 3);   // 2.5 rounds up
  EXPECT_EQ(drawn_count(7, 0.2), 1);   // 1.4
  EXPECT_EQ(drawn_count(7, 0.01), 1);  // at least one
  EXPECT_EQ(drawn_count(4, 1.0), 4);
  EXPECT_EQ(drawn_count(0, 0.5), 0);
}

class RandomSelectionTest : public test::DeviceTest {
 protected:
  /// The indices of the amplified factors, of 20: candidates are the even indices below 2 `candidates`.
  std::vector<int> draw(int candidates, int count, std::uint64_t seed, int epoch) {
    std::vector<std::int32_t> even;
    for (std::int32_t i = 0; i < candidates; ++i) even.push_back(2 * i);
    const Tensor factors = test::tensor_of(backend(), {80}, std::vector<float>(80, -1));
    backend().select_random_layers(Tensor::from_host(backend(), {candidates}, even), {seed, epoch, count, 3.0f},
                                   factors);
    const std::vector<float> values = factors.to_host<float>();
    std::vector<int> drawn;
    for (int i = 0; i < 80; ++i) {
      const float value = values[static_cast<std::size_t>(i)];
      const bool is_candidate = i % 2 == 0 && i < 2 * candidates;
      if (value == 3.0f) drawn.push_back(i / 2);
      EXPECT_TRUE(is_candidate ? value == 3.0f || value == 1.0f : value == -1.0f) << i;
    }
    return drawn;
  }
};

TEST_P(RandomSelectionTest, DrawsWithoutReplacementAndAsTheSeedSays) {
  std::set<std::vector<int>> seen;
  std::vector<int> hits(12, 0);
  for (int epoch = 1; epoch <= 400; ++epoch) {
    const std::vector<int> drawn = draw(12, 3, 7, epoch);
    EXPECT_EQ(drawn, draw(12, 3, 7, epoch));
    ASSERT_EQ(drawn.size(), 3u);
    for (const int i : drawn) ++hits[static_cast<std::size_t>(i)];
    seen.insert(drawn);
  }
  EXPECT_GT(seen.size(), 100u);  // of 220 possible draws
  // Each is expected 100 times with std 8.7; five of them are 44.
  for (const int count : hits) EXPECT_NEAR(count, 100, 44);
  EXPECT_NE(draw(40, 20, 7, 1), draw(40, 20, 8, 1));
  EXPECT_THAT(draw(4, 4, 1, 51), ElementsAre(0, 1, 2, 3));
}

// The front of a Fisher-Yates shuffle with the words of the stream, in order.
TEST_P(RandomSelectionTest, DrawsTheSameOnEveryDevice) {
  std::vector<int> places(40);
  std::iota(places.begin(), places.end(), 0);
  PhiloxSequence random(9, RandomStream::kSelection, 51);
  for (std::size_t i = 0; i < 17; ++i)
    std::swap(places[i], places[i + random.below(static_cast<std::uint32_t>(40 - i))]);
  places.resize(17);
  std::sort(places.begin(), places.end());
  EXPECT_EQ(draw(40, 17, 9, 51), places);
}

INSTANTIATE_TEST_SUITE_P(Devices, RandomSelectionTest, ::testing::ValuesIn(test::devices()), test::device_name);

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
  // Rows G, G', normalized G, normalized G'; only the normalized ones count.
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
