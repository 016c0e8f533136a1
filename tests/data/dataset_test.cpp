// SPDX-License-Identifier: MIT
#include "gradamp/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tests/data/download/archive_files.h"

namespace gradamp {
namespace {

using testing::HasSubstr;

Dataset numbered_dataset(std::int64_t count) {
  Dataset dataset{"numbered", "train", count, 2, {}, {}, {"even", "odd"}};
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

/// A dataset of images of 3x5 pixels. No two of its values are equal.
Dataset shaped_dataset(std::int64_t count, std::int64_t channels, bool f32) {
  Dataset dataset{"own", "train", count, 2, {}, {}, {"even", "odd"}};
  dataset.height = 3;
  dataset.width = 5;
  dataset.channels = channels;
  for (std::int64_t i = 0; i < count; ++i) dataset.labels.push_back(static_cast<std::int32_t>(i % 2));
  for (std::int64_t i = 0; i < count * 15 * channels; ++i) {
    if (f32)
      dataset.f32_images.push_back(1000.0f + 0.25f * static_cast<float>(i * i % 61));
    else
      dataset.images.push_back(static_cast<std::uint8_t>(i * 7 % 251));
  }
  return dataset;
}

TEST(Dataset, StatisticsOfEveryNumberOfChannelsAndOfF32) {
  for (const std::int64_t channels : {1, 2, 3, 4}) {
    for (const bool f32 : {false, true}) {
      SCOPED_TRACE(testing::Message() << channels << (f32 ? " channels of f32" : " channels of u8"));
      const Dataset dataset = shaped_dataset(4, channels, f32);
      check_dataset(dataset);
      const ChannelStatistics statistics = channel_statistics(dataset);
      for (std::int64_t c = 0; c < channels; ++c) {
        std::vector<double> values;
        for (std::int64_t i = c; i < 4 * 15 * channels; i += channels) {
          const auto at = static_cast<std::size_t>(i);
          values.push_back(f32 ? static_cast<double>(dataset.f32_images[at]) : dataset.images[at] / 255.0);
        }
        double sum = 0, squares = 0;
        for (const double value : values) sum += value;
        for (const double value : values) squares += std::pow(value - sum / 60, 2);
        const auto channel = static_cast<std::size_t>(c);
        EXPECT_NEAR(statistics.mean[channel], sum / 60, 1e-12 * sum);
        EXPECT_NEAR(statistics.deviation[channel], std::sqrt(squares / 60), 1e-12);
      }
      for (std::size_t c = static_cast<std::size_t>(channels); c < 4; ++c) EXPECT_EQ(statistics.mean[c], 0);
    }
  }
}

TEST(Dataset, PartsKeepTheShapeAndTheType) {
  const Dataset bytes = shaped_dataset(5, 1, false), f32 = shaped_dataset(5, 2, true);
  const auto [rest, held_out] = split_off_last(f32, 2);
  EXPECT_EQ(rest.shape(), (Shape{3, 3, 5, 2}));
  EXPECT_EQ(held_out.shape(), (Shape{2, 3, 5, 2}));
  EXPECT_EQ(held_out.pixel_type(), DType::kF32);
  EXPECT_EQ(held_out.f32_images, std::vector<float>(f32.f32_images.begin() + 3 * 30, f32.f32_images.end()));
  const Dataset first = first_images(bytes, 2);
  EXPECT_EQ(first.shape(), (Shape{2, 3, 5, 1}));
  EXPECT_EQ(first.images, std::vector<std::uint8_t>(bytes.images.begin(), bytes.images.begin() + 2 * 15));
  for (const Dataset& part : {rest, held_out, first}) check_dataset(part);
}

/// The message of check_dataset for a dataset that `change` made invalid.
std::string complaint(bool f32, const std::function<void(Dataset&)>& change) {
  Dataset dataset = shaped_dataset(2, 2, f32);
  change(dataset);
  return test::error_of([&] { check_dataset(dataset); });
}

TEST(Dataset, CheckRefusesShapesThatDoNotFit) {
  EXPECT_EQ(complaint(false, [](Dataset& d) { d.channels = 0; }),
            "dataset own (train): expected images of 1 to 4 channels, got 0");
  EXPECT_EQ(complaint(false, [](Dataset& d) { d.channels = 5; }),
            "dataset own (train): expected images of 1 to 4 channels, got 5");
  EXPECT_EQ(complaint(false, [](Dataset& d) { d.height = 0; }),
            "dataset own (train): expected images with a height of 1 to 16384 pixels, got 0");
  EXPECT_EQ(complaint(true, [](Dataset& d) { d.width = 16385; }),
            "dataset own (train): expected images with a width of 1 to 16384 pixels, got 16385");
  EXPECT_EQ(complaint(false, [](Dataset& d) { d.width = 4; }),
            "dataset own (train): expected 48 bytes of images for 2 images of 3x4x2, got 60");
  EXPECT_EQ(complaint(true, [](Dataset& d) { d.f32_images.pop_back(); }),
            "dataset own (train): expected 60 f32 values of images for 2 images of 3x5x2, got 59");
  EXPECT_EQ(complaint(true, [](Dataset& d) { d.images.resize(60); }),
            "dataset own (train): expected images as bytes or as f32, got both; leave one empty");
}

// CRC-32C of "123456789" is e3069283 (RFC 3720, appendix B.4, has this polynomial's other examples).
TEST(Dataset, TheFingerprintIsOfPixelsAndLabels) {
  Dataset dataset;
  dataset.split = "train";
  dataset.images = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  EXPECT_EQ(fingerprint(dataset), "train e3069283 00000000");
  dataset.labels = {7};
  const std::string with_label = fingerprint(dataset);
  EXPECT_EQ(with_label.substr(0, 15), "train e3069283 ");
  dataset.labels = {8};
  EXPECT_NE(fingerprint(dataset), with_label);
}

TEST(Dataset, CheckRefusesPixelsThatAreNotFinite) {
  EXPECT_EQ(complaint(true, [](Dataset& d) { d.f32_images[30 + 2 * 10 + 3 * 2 + 1] = NAN; }),
            "dataset own (train): expected finite pixels, got nan in image 1, row 2, column 3, channel 1");
  EXPECT_EQ(complaint(true, [](Dataset& d) { d.f32_images[0] = -INFINITY; }),
            "dataset own (train): expected finite pixels, got -inf in image 0, row 0, column 0, channel 0");
}

TEST(Dataset, SplitsHaveImagesOfOneShapeAndType) {
  const Dataset train = shaped_dataset(2, 2, false);
  const auto complaint_of = [&](const std::function<void(Dataset&)>& change) {
    Dataset test = train;
    test.split = "test";
    change(test);
    return test::error_of([&] { check_splits_agree(train, test); });
  };
  EXPECT_EQ(complaint_of([](Dataset& d) { d.height = 5; }),
            "expected test images of 3x5x2 u8 like the train images, got 5x5x2 u8");
  EXPECT_EQ(complaint_of([](Dataset& d) { d.width = 3; }),
            "expected test images of 3x5x2 u8 like the train images, got 3x3x2 u8");
  EXPECT_EQ(complaint_of([](Dataset& d) { d.channels = 1; }),
            "expected test images of 3x5x2 u8 like the train images, got 3x5x1 u8");
  EXPECT_EQ(complaint_of([](Dataset& d) { d.f32_images.resize(60); }),
            "expected test images of 3x5x2 u8 like the train images, got 3x5x2 f32");
  EXPECT_EQ(complaint_of([](Dataset& d) { d.classes = 3; }),
            "expected test images of the 2 classes of the train images, got 3 classes");
  check_splits_agree(train, train);
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

TEST(Catalog, DrawsTheSyntheticDataset) {
  DatasetChoice choice;
  choice.seed = 3;
  choice.train_images = 20;
  choice.test_images = 10;
  EXPECT_EQ(load_dataset(choice, "train").images, make_synthetic_dataset(3, "train", 20).images);
  EXPECT_EQ(load_dataset(choice, "test").images, make_synthetic_dataset(3, "test", 10).images);
  choice.test_images = 0;
  EXPECT_EQ(load_dataset(choice, "test").count, kSyntheticTestImages);
}

TEST(Catalog, KnowsTheSyntheticDatasetByItsEarlierName) {
  EXPECT_EQ(current_dataset_name("made"), "synthetic");
  EXPECT_EQ(current_dataset_name("cifar10"), "cifar10");
  EXPECT_EQ(dataset_source("made").name, "synthetic");
  DatasetChoice choice;
  choice.name = "made";
  choice.train_images = 20;
  EXPECT_EQ(load_dataset(choice, "train").name, "synthetic");
  DatasetSource own;
  own.name = "made";
  own.load = [](const DatasetChoice&, const std::string&, std::int64_t) { return Dataset{}; };
  EXPECT_THAT(test::error_of([&] { register_dataset(own); }), HasSubstr("there is a dataset 'made' already"));
}

TEST(Catalog, ReadsMnistAndFashionMnist) {
  using std::string_literals::operator""s;
  const ScratchFolder folder;
  put_text(folder / "t10k-images-idx3-ubyte", "\0\0\x8\3\0\0\0\2\0\0\0\1\0\0\0\1\7\x9"s);
  put_text(folder / "t10k-labels-idx1-ubyte", "\0\0\x8\1\0\0\0\2\x9\0"s);
  DatasetChoice choice;
  choice.path = folder.path();
  for (const auto& [name, ninth] : {std::pair{"mnist", "9"}, std::pair{"fashion-mnist", "ankle boot"}}) {
    choice.name = name;
    const Dataset dataset = load_dataset(choice, "test");
    EXPECT_EQ(dataset.name, name);
    EXPECT_EQ(dataset.shape(), (Shape{2, 1, 1, 1}));
    EXPECT_EQ(dataset.class_names.at(static_cast<std::size_t>(dataset.labels[0])), ninth);
  }
}

TEST(Catalog, RefusesWhatItCannotLoad) {
  DatasetChoice choice;
  choice.name = "imagenet";
  EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }),
              HasSubstr("synthetic, cifar10, cifar100, cifar100-coarse, mnist, fashion-mnist"));
  choice.name = "cifar10";
  EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }), HasSubstr("gradamp data fetch"));
  choice.path = "/nowhere/at/all";
  for (const char* name : {"cifar10", "cifar100", "cifar100-coarse"}) {
    choice.name = name;
    EXPECT_THAT(test::error_of([&] { load_dataset(choice, "train"); }), HasSubstr("/nowhere/at/all"));
  }
  choice.name = "synthetic";
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
