// SPDX-License-Identifier: MIT
#include "gradamp/data/images/resize.h"

#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

DecodedImage gray(std::int64_t height, std::int64_t width, std::vector<std::uint8_t> values) {
  return {height, width, 1, std::move(values)};
}

void expect_values(const std::vector<float>& found, std::vector<float> bytes) {
  for (float& value : bytes) value /= 255;
  EXPECT_THAT(found, Pointwise(FloatNear(1e-6f), bytes));
}

TEST(Resize, TheSameSizeIsExact) {
  DecodedImage image{16, 16, 1, std::vector<std::uint8_t>(256)};
  std::iota(image.values.begin(), image.values.end(), std::uint8_t{0});
  const std::vector<float> values = resize(image, 16, 16);
  for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(values[i], static_cast<float>(i) / 255.0f);
}

TEST(Resize, ShrinkingAveragesTheAreas) {
  expect_values(resize(gray(2, 4, {0, 100, 10, 30, 100, 200, 50, 70}), 1, 2), {100, 40});
  // Three pixels to two: each covers one and a half.
  expect_values(resize(gray(1, 3, {30, 90, 240}), 1, 2), {(30 + 45) / 1.5f, (45 + 240) / 1.5f});
  DecodedImage large{97, 61, 3, std::vector<std::uint8_t>(97 * 61 * 3, 77)};
  expect_values(resize(large, 32, 32), std::vector<float>(32 * 32 * 3, 77));
}

TEST(Resize, GrowingInterpolatesBetweenCenters) {
  // The new centers are at -0.25 (the edge), 0.25, 0.75 and 1.25 (the edge) of the old ones.
  expect_values(resize(gray(1, 2, {40, 80}), 1, 4), {40, 50, 70, 80});
  expect_values(resize(gray(2, 1, {40, 80}), 4, 1), {40, 50, 70, 80});
  expect_values(resize(gray(1, 1, {9}), 2, 3), std::vector<float>(6, 9));
}

TEST(Resize, AxesAreIndependentAndChannelsStayApart) {
  // The width shrinks, the height grows.
  const DecodedImage image{1, 2, 3, {10, 100, 200, 30, 120, 240}};
  expect_values(resize(image, 2, 1), {20, 110, 220, 20, 110, 220});
  EXPECT_THROW(resize(image, 0, 1), Error);
}

}  // namespace
}  // namespace gradamp
