// SPDX-License-Identifier: MIT
#include "gradamp/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "gradamp/core/error.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tests/data/download/archive_files.h"

namespace gradamp {
namespace {

using testing::HasSubstr;

Dataset numbered_dataset(std::int64_t count) {
  Dataset dataset{"made", "train", count, 2, {}, {}, {"even", "odd"}};
  for (std::int64_t i = 0; i < count; ++i) {
    dataset.labels.push_back(static_cast<std::int32_t>(i % 2));
    for (std::int64_t b = 0; b < kImageBytes; ++b) {
      dataset.images.push_back(static_cast<std::uint8_t>((i * 50 + b * b * 3 + b % 3 * 40) % 256));
    }
  }
  return dataset;
}

TEST(Dataset, StatisticsAgreeWithTwoPasses) {
  const Dataset dataset = numbered_dataset(5);
  const ChannelStatistics statistics = channel_statistics(dataset);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    const double pixels = 5 * 1024;
    for (std::size_t i = c; i < dataset.images.size(); i += 3) sum += dataset.images[i] / 255.0;
    for (std::size_t i = c; i < dataset.images.size(); i += 3)
      squares += std::pow(dataset.images[i] / 255.0 - sum / pixels, 2);
    EXPECT_NEAR(statistics.mean[c], sum / pixels, 1e-12);
    EXPECT_NEAR(statistics.deviation[c], std::sqrt(squares / pixels), 1e-12);
  }
  EXPECT_THROW(channel_statistics(Dataset{}), Error);
}

TEST(Dataset, TakesTheFirstAndSplitsOffTheLast) {
  const Dataset dataset = numbered_dataset(5);
  const Dataset first = first_images(dataset, 2);
  check_dataset(first);
  EXPECT_EQ(first.count, 2);
  EXPECT_TRUE(std::equal(first.images.begin(), first.images.end(), dataset.images.begin()));
  const auto [rest, held_out] = split_off_last(dataset, 2);
  check_dataset(rest);
  check_dataset(held_out);
  EXPECT_EQ(rest.split, "train");
  EXPECT_EQ(rest.count, 3);
  EXPECT_EQ(held_out.split, "validation");
  EXPECT_EQ(held_out.labels, (std::vector<std::int32_t>{1, 0}));
  EXPECT_TRUE(std::equal(held_out.images.begin(), held_out.images.end(), dataset.images.begin() + 3 * kImageBytes));
  for (const std::int64_t count : {-1, 0, 6}) EXPECT_THROW(first_images(dataset, count), Error) << count;
  for (const std::int64_t count : {-1, 0, 5}) EXPECT_THROW(split_off_last(dataset, count), Error) << count;
}

TEST(Dataset, CheckNamesWhatIsWrong) {
  Dataset dataset = numbered_dataset(2);
  dataset.labels[1] = 2;
  EXPECT_THAT(test::error_of([&] { check_dataset(dataset); }), HasSubstr("image 1 has the label 2, expected 0 to 1"));
  dataset.labels.pop_back();
  EXPECT_THAT(test::error_of([&] { check_dataset(dataset); }), HasSubstr("expected 2 labels, got 1"));
  dataset.images.pop_back();
  EXPECT_THAT(test::error_of([&] { check_dataset(dataset); }), HasSubstr("expected 6144 bytes"));
}

TEST(Catalog, DrawsTheMadeDataset) {
  DatasetChoice choice;
  choice.seed = 3;
  choice.train_images = 20;
  choice.test_images = 10;
  EXPECT_EQ(load_dataset(choice, "train").images, make_dataset(3, "train", 20).images);
  EXPECT_EQ(load_dataset(choice, "test").images, make_dataset(3, "test", 10).images);
  choice.test_images = 0;
  EXPECT_EQ(load_dataset(choice, "test").count, kMadeTestImages);
}

TEST(Catalog, RefusesWhatItCannotLoad) {
  DatasetChoice choice;
  choice.name = "imagenet";
  EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }),
              HasSubstr("made, cifar10, cifar100, cifar100-coarse"));
  choice.name = "cifar10";
  EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }), HasSubstr("gradamp data fetch"));
  choice.path = "/nowhere/at/all";
  for (const char* name : {"cifar10", "cifar100", "cifar100-coarse"}) {
    choice.name = name;
    EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }), HasSubstr("/nowhere/at/all"));
  }
  choice.name = "made";
  choice.train_images = -1;
  EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }), HasSubstr("got -1"));
}

TEST(Catalog, OnesOwnDatasetIsKnownByItsName) {
  DatasetSource own;
  own.name = "own";
  own.train_images = 6;
  own.test_images = 6;
  own.load = [](const DatasetChoice& choice, const std::string& split, std::int64_t images) {
    EXPECT_EQ(images, 2);
    Dataset dataset = numbered_dataset(6);
    dataset.split = split;
    dataset.labels[0] = choice.path == "bad" ? 99 : 0;
    return dataset;
  };
  register_dataset(own);
  EXPECT_EQ(dataset_names().back(), "own");
  DatasetChoice choice;
  choice.name = "own";
  choice.train_images = 2;
  EXPECT_EQ(load_dataset(choice, "train").count, 2);
  choice.path = "bad";
  EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }), HasSubstr("image 0 has the label 99"));
  EXPECT_THAT(test::error_of([&] { register_dataset(own); }), HasSubstr("there is a dataset 'own' already"));
  own.name = "a b";
  EXPECT_THAT(test::error_of([&] { register_dataset(own); }), HasSubstr("got 'a b'"));
  own = {};
  own.name = "empty";
  EXPECT_THAT(test::error_of([&] { register_dataset(own); }), HasSubstr("expected a function that loads it"));
}

}  // namespace
}  // namespace gradamp
