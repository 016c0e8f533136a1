// SPDX-License-Identifier: MIT
// Batches: picking, cropping, flipping and normalizing, against a plain loop over Philox's numbers.

#include <algorithm>
#include <cmath>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/reference.h"
#include "gradamp/tests/oracle/recorded.h"

namespace gradamp::test {
namespace {

constexpr std::int64_t kImages = 23;

class GatherTest : public DeviceTest {
 protected:
  void make_images(const Shape& image) {
    shape_ = {kImages, image[0], image[1], 3};
    PhiloxSequence sequence(5, RandomStream::kTest, 1);
    pixels_.clear();
    for (std::int64_t i = 0; i < shape_.count(); ++i) pixels_.push_back(static_cast<std::uint8_t>(sequence.below(256)));
    for (std::int64_t i = 0; i < kImages; ++i) {
      labels_.push_back(static_cast<std::int32_t>(100 + i));
      order_.push_back(static_cast<std::int32_t>((i * 7 + 3) % kImages));
    }
    order_.push_back(5);  // longer than the set, as if an epoch was filled up
  }
  Batch gather(std::int64_t count, const GatherParams& params, const StepNumbers& numbers) {
    return gather_batch(Tensor::from_host(backend(), shape_, pixels_), Tensor::from_host(backend(), {kImages}, labels_),
                        Tensor::from_host(backend(), {static_cast<std::int64_t>(order_.size())}, order_), count,
                        make_step_state(backend(), numbers), params);
  }
  void expect_reference(std::int64_t count, const GatherParams& params, const StepNumbers& numbers) {
    const Batch batch = gather(count, params, numbers);
    const reference::GatherPlace place{static_cast<std::uint64_t>(numbers.seed),
                                       static_cast<std::uint64_t>(numbers.epoch),
                                       static_cast<std::uint64_t>(numbers.position)};
    const reference::Array images(shape_, std::vector<double>(pixels_.begin(), pixels_.end()));
    const auto expected = reference::gather_images(images, 255, order_, count, place, params);
    EXPECT_EQ(batch.images.shape(), expected.shape);
    EXPECT_TRUE(agrees(batch.images.to_host<float>(), expected.values, 1e-6));
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < count; ++n) {
      labels.push_back(100 + order_[static_cast<std::size_t>(numbers.position + n)]);
    }
    EXPECT_EQ(batch.labels.to_host<std::int32_t>(), labels);
  }

  Shape shape_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::int32_t> labels_, order_;
};

GatherParams augmented(int padding = 4, bool flip = true) {
  return {true, padding, flip, {0.49f, 0.48f, 0.45f}, {4.0f, 4.1f, 3.8f}};
}

TEST_P(GatherTest, WithoutAugmentationImagesAreNormalizedOnly) {
  make_images({5, 7});
  GatherParams params = augmented();
  params.augment = false;
  expect_reference(7, params, {.position = 3});
  expect_reference(1, params, {.position = 23});
  expect_reference(24, params, {});
  // By hand: the first value of the second image in the order.
  const float value = gather(1, params, {.position = 1}).images.to_host<float>()[0];
  const float pixel = pixels_[10 * 5 * 7 * 3];
  EXPECT_NEAR(value, (pixel / 255 - 0.49f) * 4.0f, 1e-6);
}

TEST_P(GatherTest, CropsFlipsAndNormalizesAsTheReference) {
  make_images({9, 6});
  for (const int padding : {0, 1, 4}) {
    for (const bool flip : {false, true}) {
      SCOPED_TRACE("padding " + std::to_string(padding) + (flip ? " flip" : ""));
      expect_reference(23, augmented(padding, flip), {.seed = 77, .epoch = 2});
      expect_reference(3, augmented(padding, flip), {.seed = 77, .epoch = 3, .position = 20});
    }
  }
  // A seed of more than 32 bits.
  expect_reference(5, augmented(), {.seed = 0x123456789abcdef, .epoch = 1000});
}

TEST_P(GatherTest, ACropFarOutsideIsBlackThenNormalized) {
  make_images({2, 2});
  const std::vector<float> x = gather(23, augmented(9), {}).images.to_host<float>();
  std::int64_t black = 0;
  for (std::size_t i = 0; i + 2 < x.size(); i += 3) {
    black += std::abs(x[i] + 0.49f * 4.0f) < 1e-6f && std::abs(x[i + 1] + 0.48f * 4.1f) < 1e-6f &&
             std::abs(x[i + 2] + 0.45f * 3.8f) < 1e-6f;
  }
  EXPECT_GT(black, 40);
  expect_reference(23, augmented(9), {});
}

TEST_P(GatherTest, AnImageIsTheSameHoweverTheEpochIsSplit) {
  make_images({5, 7});
  const std::vector<float> whole = gather(7, augmented(), {.seed = 4, .position = 2}).images.to_host<float>();
  std::vector<float> parts = gather(3, augmented(), {.seed = 4, .position = 2}).images.to_host<float>();
  const std::vector<float> rest = gather(4, augmented(), {.seed = 4, .position = 5}).images.to_host<float>();
  parts.insert(parts.end(), rest.begin(), rest.end());
  EXPECT_EQ(parts, whole);
}

TEST_P(GatherTest, EpochAndSeedChangeTheDrawsTheStepDoesNot) {
  make_images({9, 6});
  const auto draw = [&](const StepNumbers& numbers) {
    return gather(23, augmented(), numbers).images.to_host<float>();
  };
  const std::vector<float> first = draw({.seed = 4, .epoch = 1});
  EXPECT_EQ(draw({.seed = 4, .epoch = 1, .step = 99}), first);
  EXPECT_NE(draw({.seed = 4, .epoch = 2}), first);
  EXPECT_NE(draw({.seed = 5, .epoch = 1}), first);
}

TEST_P(GatherTest, BeyondTheEndThereIsALabelThatIsNoClass) {
  make_images({5, 7});
  const std::int64_t places = static_cast<std::int64_t>(order_.size());
  const std::vector<std::int32_t> labels =
      gather(4, augmented(), {.position = places - 2}).labels.to_host<std::int32_t>();
  EXPECT_EQ(labels, (std::vector<std::int32_t>{100 + order_[order_.size() - 2], 105, -1, -1}));
}

/// Checks that `found` is `plain` with zeros in the pixels with a '#', to the bit.
void expect_cut_out(const std::vector<float>& found, const std::vector<float>& plain, const std::string& mask) {
  ASSERT_EQ(found.size(), 3 * mask.size());
  std::vector<float> expected = plain;
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (mask[i / 3] == '#') expected[i] = 0;
  EXPECT_EQ(found, expected);
}

TEST_P(GatherTest, CutoutErasesTheRecordedSquaresAndChangesNoOtherPixel) {
  const nlohmann::json recorded = oracle::read("kernels/recorded/cutout.json");
  const auto images = recorded.at("images").get<std::int64_t>();
  for (const nlohmann::json& square : recorded.at("cases")) {
    const StepNumbers numbers{.seed = std::stoll(square.at("seed").get<std::string>()),
                              .epoch = square.at("epoch").get<std::int64_t>(),
                              .position = square.at("position").get<std::int64_t>()};
    shape_ = {kImages, square.at("height").get<std::int64_t>(), square.at("width").get<std::int64_t>(), 3};
    SCOPED_TRACE("side " + square.at("side").dump() + " of " + shape_.to_string());
    // No byte is 0 after the normalization, so a zero is a pixel that was cut out.
    pixels_.assign(static_cast<std::size_t>(shape_.count()), 0);
    for (std::size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = static_cast<std::uint8_t>(i * 37 % 256);
    labels_.assign(kImages, 1);
    order_.assign(static_cast<std::size_t>(numbers.position + images), 0);
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::int32_t>(i % kImages);
    for (const bool augment : {false, true}) {
      GatherParams params = augmented(2);
      params.augment = augment;
      const std::vector<float> plain = gather(images, params, numbers).images.to_host<float>();
      ASSERT_EQ(std::count(plain.begin(), plain.end(), 0.0f), 0);
      params.cutout = square.at("side").get<int>();
      const std::vector<float> whole = gather(images, params, numbers).images.to_host<float>();
      std::string masks;
      for (const nlohmann::json& mask : square.at("masks")) masks += mask.get<std::string>();
      expect_cut_out(whole, plain, masks);
      // Cut into two batches, the images are the same.
      std::vector<float> parts = gather(5, params, numbers).images.to_host<float>();
      StepNumbers later = numbers;
      later.position += 5;
      const std::vector<float> rest = gather(images - 5, params, later).images.to_host<float>();
      parts.insert(parts.end(), rest.begin(), rest.end());
      EXPECT_EQ(parts, whole);
    }
  }
}

TEST_P(GatherTest, CutoutCentersAreUniformOverTheImage) {
  shape_ = {1, 4, 6, 3};
  pixels_.assign(static_cast<std::size_t>(shape_.count()), 9);
  labels_ = {1};
  constexpr std::int64_t kDraws = 2400;
  order_.assign(kDraws, 0);
  GatherParams params = augmented();
  params.cutout = 1;
  const Tensor pixels = Tensor::from_host(backend(), shape_, pixels_);
  const Batch batch =
      gather_batch(pixels, Tensor::from_host(backend(), {1}, labels_), Tensor::from_host(backend(), {kDraws}, order_),
                   kDraws, make_step_state(backend(), {.seed = 3, .epoch = 1}), params);
  const std::vector<float> x = batch.images.to_host<float>();
  std::vector<int> counts(24, 0);
  for (std::size_t i = 0; i < x.size(); i += 3) counts[i / 3 % 24] += x[i] == 0 && x[i + 1] == 0 && x[i + 2] == 0;
  int sum = 0;
  for (const int count : counts) {
    EXPECT_NEAR(count, 100, 50);  // five standard deviations
    sum += count;
  }
  EXPECT_EQ(sum, kDraws);
}

TEST_P(GatherTest, DoesNotMoveThePosition) {
  make_images({5, 7});
  const StepState state = make_step_state(backend(), {.position = 2});
  const auto before = state.counters.to_host<std::int64_t>();
  gather_batch(Tensor::from_host(backend(), shape_, pixels_), Tensor::from_host(backend(), {kImages}, labels_),
               Tensor::from_host(backend(), {24}, order_), 3, state, augmented());
  EXPECT_EQ(state.counters.to_host<std::int64_t>(), before);
}

INSTANTIATE_TEST_SUITE_P(Devices, GatherTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
