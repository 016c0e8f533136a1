// SPDX-License-Identifier: MIT
// Tests of the whole program with registered datasets of other shapes than 32x32x3. Each command runs in a child
// process, because it registers the datasets.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/data/registry/datasets.h"
#include "gradamp/tests/tools/program/finished.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/program/run_program.h"

namespace gradamp {
namespace {

using namespace test;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

/// Images of stripes: horizontal if the class is 0, vertical if it is 1.
Dataset stripes(const std::string& name, const std::string& split, std::int64_t count) {
  Dataset dataset{name, split, count, 2, {}, {}, {"across", "along"}};
  dataset.height = dataset.width = 28;
  dataset.channels = 1;
  for (std::int64_t i = 0; i < count; ++i) {
    dataset.labels.push_back(static_cast<std::int32_t>(i % 2));
    for (std::int64_t h = 0; h < 28; ++h)
      for (std::int64_t w = 0; w < 28; ++w)
        dataset.images.push_back(static_cast<std::uint8_t>(((i % 2 == 0 ? h : w) + i) % 4 < 2 ? 200 + i % 7 : 30));
  }
  return dataset;
}

/// Repeats pixels to images of 64x64 with three equal channels of f32 values between 5 and 6.
Dataset enlarged(Dataset dataset) {
  const std::vector<std::uint8_t> images = std::move(dataset.images);
  dataset.images.clear();
  for (std::int64_t i = 0; i < dataset.count; ++i)
    for (std::int64_t h = 0; h < 64; ++h)
      for (std::int64_t w = 0; w < 64 * 3; ++w) {
        const std::int64_t source = (i * 28 + h * 28 / 64) * 28 + w / 3 * 28 / 64;
        dataset.f32_images.push_back(5 + static_cast<float>(images[static_cast<std::size_t>(source)]) / 300.0f);
      }
  dataset.height = dataset.width = 64;
  dataset.channels = 3;
  return dataset;
}

using Change = std::function<void(Dataset&)>;

void add_dataset(const std::string& name, const Change& change) {
  DatasetSource source;
  source.name = name;
  source.train_images = 24;
  source.test_images = 8;
  source.load = [=](const DatasetChoice&, const std::string& split, std::int64_t) {
    Dataset dataset = stripes(name, split, split == "train" ? 24 : 8);
    change(dataset);
    return dataset;
  };
  register_dataset(source);
}

void add_datasets() {
  add_dataset("stripes", [](Dataset&) {});
  add_dataset("large", [](Dataset& dataset) { dataset = enlarged(dataset); });
  add_dataset("unlike", [](Dataset& dataset) {
    if (dataset.split == "test") dataset = enlarged(dataset);
  });
  add_dataset("five", [](Dataset& dataset) { dataset.channels = 5; });
  add_dataset("bad", [](Dataset& dataset) {
    dataset = enlarged(dataset);
    dataset.f32_images[7] = NAN;
  });
}

class OwnDataset : public testing::Test {
 protected:
  /// Runs the program with these arguments in the scratch folder.
  Finished run(std::vector<std::string> arguments) {
    Finished finished;
    finished.exit_code = in_child([&] {
      ::setenv("OMP_NUM_THREADS", "1", 1);
      fs::current_path(folder_.path());
      if (std::freopen("out", "w", stdout) == nullptr || std::freopen("err", "w", stderr) == nullptr) std::abort();
      add_datasets();
      arguments.insert(arguments.begin(), "gradamp");
      std::vector<char*> pointers;
      for (std::string& argument : arguments) pointers.push_back(argument.data());
      const int code = run_program(static_cast<int>(pointers.size()), pointers.data());
      std::fflush(nullptr);
      ::_exit(code);
    });
    finished.out = text_of(folder_ / "out");
    finished.err = text_of(folder_ / "err");
    return finished;
  }

  Finished train(const std::string& dataset, const std::string& run_folder, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {
        "train",    "--dataset",    dataset,      "--network",    "resnet8", "--device",       "cpu", "--threads",
        "1",        "--strategy",   "3:0.05:1.5", "--batch-size", "8",       "--crop-padding", "2",   "--run-folder",
        run_folder, "--validation", "4"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  ScratchFolder folder_;
};

/// Expects a refusal: one line on standard error, and no run was begun.
void expect_refusal(const Finished& finished, const std::string& message) {
  EXPECT_EQ(finished.exit_code, 1) << finished.out;
  EXPECT_EQ(finished.out, "");
  EXPECT_EQ(finished.err, "gradamp: " + message + "\n");
}

TEST_F(OwnDataset, IsTrainedAndEvaluatedOnEveryDevice) {
  for (const char* device : {"cpu", "emulated"}) {
    SCOPED_TRACE(device);
    const std::string folder = std::string("run-") + device;
    const Finished trained = train("stripes", folder, {"--device", device});
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
    EXPECT_THAT(trained.out, HasSubstr("training  stripes train, 20 images of 28x28x1, 2 classes\n"));
    const auto epochs = lines_of(folder_ / folder / "metrics.jsonl");
    ASSERT_EQ(epochs.size(), 3u);
    EXPECT_LT(epochs[2].at("train_loss"), 0.8 * epochs[0].at("train_loss").get<double>());
    const Finished evaluated = run({"evaluate", "--run", folder});
    EXPECT_EQ(evaluated.exit_code, 0) << evaluated.err;
    EXPECT_THAT(evaluated.out, MatchesRegex("resnet8 on stripes: loss [0-9.]+, accuracy [0-9.]+% of 8 images\n"
                                            "resnet8 on stripes \\(validation part\\): .* of 4 images\n"));
  }
}

TEST_F(OwnDataset, OfLargeF32ImagesIsTrainedOnEveryDevice) {
  for (const char* device : {"cpu", "emulated"}) {
    SCOPED_TRACE(device);
    const Finished trained = train("large", std::string("run-") + device, {"--device", device});
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
    EXPECT_THAT(trained.out, HasSubstr("training  large train, 20 images of 64x64x3, 2 classes\n"));
    const auto epochs = lines_of(folder_ / (std::string("run-") + device) / "metrics.jsonl");
    ASSERT_EQ(epochs.size(), 3u);
    EXPECT_LT(epochs[2].at("train_loss"), 0.8 * epochs[0].at("train_loss").get<double>());
  }
}

TEST_F(OwnDataset, IsRefusedIfTheNetworkNeedsLargerImages) {
  expect_refusal(train("stripes", "run", {"--network", "vgg19"}),
                 "--network vgg19 on --dataset stripes: expected images of at least 32x32 pixels, which this network "
                 "needs, got 28x28; use larger images or another network");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(OwnDataset, ThatIsWrongIsRefused) {
  expect_refusal(train("unlike", "run"), "expected test images of 28x28x1 u8 like the train images, got 64x64x3 f32");
  expect_refusal(train("five", "run"), "dataset five (train): expected images of 1 to 4 channels, got 5");
  expect_refusal(train("bad", "run"),
                 "dataset bad (train): expected finite pixels, got nan in image 0, row 0, column 2, channel 1");
  expect_refusal(train("stripes", "run", {"--crop-padding", "29"}),
                 "--crop-padding: expected 0 to 28 for images of 28x28 pixels, got 29");
  expect_refusal(train("stripes", "run", {"--cutout", "29", "--no-augment"}),
                 "--cutout: expected 0 to 28 for images of 28x28 pixels, got 29");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(OwnDataset, WeightsForOtherChannelsAreRefused) {
  ASSERT_EQ(train("stripes", "gray", {"--strategy", "1:0.1"}).exit_code, 0);
  const std::string weights = (folder_.path() / "gray/checkpoint.safetensors").string();
  const Finished finished = train("large", "run", {"--weights", weights});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.err, AllOf(HasSubstr("'conv1.weight' has shape [16, 1, 3, 3], expected [16, 3, 3, 3]"),
                                  HasSubstr("the weights are for images of 1 channels")));
}

TEST_F(OwnDataset, IsInHelpAndInASweep) {
  const Finished help = run({"train", "--help"});
  EXPECT_THAT(help.out, HasSubstr("stripes (drawn by"));
  put_text(folder_ / "s.toml",
           "network = resnet8\ndataset = [stripes, large]\nbatch-size = 8\nstrategy = '1:0.05'\ndevice = cpu\n"
           "threads = 1\ntrain-images = 8\ntest-images = 4\n[original]\n");
  const Finished dry = run({"sweep", "s.toml", "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("for what is left"));
}

}  // namespace
}  // namespace gradamp
