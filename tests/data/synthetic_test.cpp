// SPDX-License-Identifier: MIT
#include "gradamp/data/synthetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/core/philox.h"
#include "gradamp/data/download/digest.h"

namespace gradamp {
namespace {

TEST(SyntheticDataset, HasThePromisedShapeAndBalance) {
  const Dataset dataset = make_synthetic_dataset(1, "train", 205);
  check_dataset(dataset);
  EXPECT_EQ(dataset.count, 205);
  EXPECT_EQ(dataset.classes, 10);
  EXPECT_EQ(dataset.class_names, synthetic_class_names());
  for (std::size_t ten = 0; ten < 200; ten += 10) {
    const std::set<std::int32_t> labels(dataset.labels.begin() + static_cast<std::ptrdiff_t>(ten),
                                        dataset.labels.begin() + static_cast<std::ptrdiff_t>(ten + 10));
    EXPECT_EQ(labels.size(), 10u);
  }
}

TEST(SyntheticDataset, AnImageDependsOnSeedSplitAndPositionAlone) {
  const Dataset many = make_synthetic_dataset(7, "train", 60), few = make_synthetic_dataset(7, "train", 33);
  EXPECT_TRUE(std::equal(few.images.begin(), few.images.end(), many.images.begin()));
  EXPECT_TRUE(std::equal(few.labels.begin(), few.labels.end(), many.labels.begin()));
  EXPECT_NE(make_synthetic_dataset(8, "train", 60).images, many.images);
}

TEST(SyntheticDataset, NoTwoImagesOfTrainAndTestAreTheSame) {
  std::set<std::string> seen;
  for (const char* split : {"train", "test"}) {
    const Dataset dataset = make_synthetic_dataset(1, split, 500);
    for (std::int64_t i = 0; i < dataset.count; ++i) {
      const auto begin = dataset.images.begin() + i * kImageBytes;
      EXPECT_TRUE(seen.emplace(begin, begin + kImageBytes).second) << split << " " << i;
    }
  }
}

// The arithmetic gives the same bytes with every compiler and on every machine. Update these sums only for a deliberate
// change of the drawing. After such a change, runs on the synthetic dataset cannot be compared with earlier runs.
TEST(SyntheticDataset, TheBytesAreTheRecordedOnes) {
  const auto sum = [](const char* split) {
    const Dataset dataset = make_synthetic_dataset(1, split, 100);
    Md5 md5;
    md5.add(dataset.images.data(), dataset.images.size());
    return md5.finish();
  };
  EXPECT_EQ(sum("train"), "d7aff2cfff468fd35410e262adaf3124");
  EXPECT_EQ(sum("test"), "3394f49788d69b5fa8a6cc3f88f0a299");
}

TEST(SyntheticDataset, RefusesOtherSplitsAndCounts) {
  EXPECT_THROW(make_synthetic_dataset(1, "validation", 10), Error);
  EXPECT_THROW(make_synthetic_dataset(1, "train", 0), Error);
  EXPECT_THROW(make_synthetic_dataset(1, "train", (1 << 24) + 1), Error);
}

/// Trains a softmax regression on normalized pixels by stochastic gradient descent, one image per step. Returns the
/// test accuracy.
double linear_accuracy(const Dataset& train, const Dataset& test) {
  constexpr std::size_t kInputs = kImageBytes, kOutputs = 10;
  std::vector<float> weights(kInputs * kOutputs, 0.0f), bias(kOutputs, 0.0f);
  const ChannelStatistics statistics = channel_statistics(train);
  const auto read = [&](const Dataset& dataset, std::size_t image, std::vector<float>& input) {
    for (std::size_t k = 0; k < kInputs; ++k) {
      const double value = dataset.images[image * kInputs + k] / 255.0;
      input[k] = static_cast<float>((value - statistics.mean[k % 3]) / statistics.deviation[k % 3]);
    }
  };
  std::vector<float> input(kInputs), score(kOutputs);
  const auto forward = [&] {
    score = bias;
    for (std::size_t k = 0; k < kInputs; ++k) {
      for (std::size_t c = 0; c < kOutputs; ++c) score[c] += weights[k * kOutputs + c] * input[k];
    }
    return std::max_element(score.begin(), score.end()) - score.begin();
  };
  for (int epoch = 0; epoch < 6; ++epoch) {
    const float rate = 3e-4f / static_cast<float>(1 + epoch);
    for (std::size_t i = 0; i < train.labels.size(); ++i) {
      read(train, i, input);
      const float most = score[static_cast<std::size_t>(forward())];
      float sum = 0.0f;
      for (float& s : score) sum += s = std::exp(s - most);
      for (std::size_t c = 0; c < kOutputs; ++c) {
        score[c] = rate * (score[c] / sum - (static_cast<std::size_t>(train.labels[i]) == c ? 1.0f : 0.0f));
        bias[c] -= score[c];
      }
      for (std::size_t k = 0; k < kInputs; ++k) {
        for (std::size_t c = 0; c < kOutputs; ++c) weights[k * kOutputs + c] -= score[c] * input[k];
      }
    }
  }
  int correct = 0;
  for (std::size_t i = 0; i < test.labels.size(); ++i) {
    read(test, i, input);
    correct += forward() == test.labels[i];
  }
  return correct / static_cast<double>(test.count);
}

/// Noise images in which ten adjacent pixels of the upper rows are brighter. Their position depends on the class, so a
/// linear model can learn it.
Dataset linear_dataset(const std::string& split, std::int64_t count) {
  Dataset dataset{"linear", split, count, 10, {}, {}, synthetic_class_names()};
  PhiloxSequence random(1, RandomStream::kTest, split == "train" ? 0 : 1);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t label = random.below(10);
    dataset.labels.push_back(static_cast<std::int32_t>(label));
    for (std::uint32_t b = 0; b < kImageBytes; ++b) {
      const bool marked = b / 30 == label;
      dataset.images.push_back(static_cast<std::uint8_t>(random.below(156) + (marked ? 100 : 0)));
    }
  }
  return dataset;
}

TEST(SyntheticDataset, ALinearModelStaysBelow60Percent) {
  // The same model learns a linear problem. So if it fails on the synthetic dataset, the reason is the dataset.
  EXPECT_GT(linear_accuracy(linear_dataset("train", 1000), linear_dataset("test", 300)), 0.9);
  EXPECT_LT(linear_accuracy(make_synthetic_dataset(1, "train", 3000), make_synthetic_dataset(1, "test", 1000)), 0.6);
}

}  // namespace
}  // namespace gradamp
