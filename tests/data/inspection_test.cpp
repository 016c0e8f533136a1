// SPDX-License-Identifier: MIT
#include "gradamp/data/inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace gradamp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kPerFile = 30;
constexpr std::int64_t kSize = 4 * 4 * 3;

/// Two files of different images with mixed classes.
Dataset sound() {
  Dataset dataset{"cifar10", "train", 2 * kPerFile, 3, {}, {}, {"a", "b", "c"}};
  dataset.height = dataset.width = 4;
  for (std::int64_t i = 0; i < dataset.count; ++i) {
    dataset.labels.push_back(static_cast<std::int32_t>(i % 3));
    for (std::int64_t k = 0; k < kSize; ++k) dataset.images.push_back(static_cast<std::uint8_t>(1 + i + (i * k) % 7));
  }
  return dataset;
}

TEST(Inspection, SoundImagesGiveNoSign) { EXPECT_THAT(suspicious_content(sound(), kPerFile), IsEmpty()); }

TEST(Inspection, NamesBlackImages) {
  Dataset dataset = sound();
  std::fill_n(dataset.images.begin() + 40 * kSize, kSize, std::uint8_t{0});
  EXPECT_THAT(suspicious_content(dataset, kPerFile),
              ElementsAre("cifar10 train, images 31 to 60: 1 are black; a part of the file may be zeroed"));
}

TEST(Inspection, NamesEqualFilesAndRepetitions) {
  Dataset dataset = sound();
  std::copy_n(dataset.images.begin(), kPerFile * kSize, dataset.images.begin() + kPerFile * kSize);
  EXPECT_THAT(suspicious_content(dataset, kPerFile),
              ElementsAre("cifar10 train, images 31 to 60: the same as images 1 to 30",
                          "cifar10 train: 30 of 60 images are repetitions of others"));
}

TEST(Inspection, NamesAFileOfOneClass) {
  Dataset dataset = sound();
  std::fill_n(dataset.labels.begin(), 16, 1);  // 21 of 30 are then of class 1
  EXPECT_THAT(suspicious_content(dataset, kPerFile),
              ElementsAre(HasSubstr("images 1 to 30: 21 of 30 are of the class b")));
}

}  // namespace
}  // namespace gradamp
