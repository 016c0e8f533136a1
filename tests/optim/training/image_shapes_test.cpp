// SPDX-License-Identifier: MIT
// Training and evaluation on images of other shapes than 32x32x3, as bytes and as f32.
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/core/philox.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/training/trainer.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct ImageShape {
  std::int64_t height, width, channels;
};

/// Noise images that are brighter in the upper half if the class is 0, and in the lower half if it is 1.
Dataset halves(const std::string& split, std::int64_t count, const ImageShape& shape) {
  Dataset dataset{"halves", split, count, 2, {}, {}, {"upper", "lower"}};
  dataset.height = shape.height;
  dataset.width = shape.width;
  dataset.channels = shape.channels;
  PhiloxSequence random(split == "train" ? 1 : 2, RandomStream::kTest, 0);
  for (std::int64_t i = 0; i < count; ++i) {
    dataset.labels.push_back(static_cast<std::int32_t>(i % 2));
    for (std::int64_t h = 0; h < shape.height; ++h) {
      const bool bright = (h >= shape.height / 2) == (i % 2 == 1);
      for (std::int64_t e = 0; e < shape.width * shape.channels; ++e)
        dataset.images.push_back(static_cast<std::uint8_t>(random.below(100) + (bright ? 150 : 0)));
    }
  }
  return dataset;
}

/// The same images as f32: scale * byte / 255 + offset.
Dataset as_f32(Dataset dataset, float scale, float offset) {
  for (const std::uint8_t byte : dataset.images)
    dataset.f32_images.push_back(scale * static_cast<float>(byte) / 255.0f + offset);
  dataset.images.clear();
  return dataset;
}

/// resnet8 and its trainer. Three epochs, of which the first is analyzed and the last two are amplified.
struct HalvesRun {
  HalvesRun(DeviceKind kind, const Dataset& train, const Dataset& test, const Augmentation& augmentation = {},
            const std::string& settings = "")
      : backend(make_backend(Device{kind})), state(make_step_state(*backend, 7)) {
    NetworkOptions network_options;
    network_options.classes = train.classes;
    network_options.state = state;
    network_options.in_channels = train.channels;
    network = make_network("resnet8", *backend, network_options);
    initialize(*network, Initialization::kPyTorch, 3);
    TrainerOptions options;
    options.batch_size = 8;
    options.optimizer.strategy = parse_strategy("3:0.05:1.5");
    options.settings = settings;
    TrainerCallbacks callbacks;
    callbacks.on_epoch = [this](const EpochSummary& epoch) { losses.push_back(epoch.train_loss); };
    trainer.emplace(*network, state, upload_training_data(*backend, train, test, augmentation), options, callbacks);
  }

  std::unique_ptr<Backend> backend;
  StepState state;
  std::shared_ptr<Module> network;
  std::vector<double> losses;  // one per epoch
  std::optional<Trainer> trainer;
};

/// Trains with crops and flips on both devices. Their kernels are independent but draw the same crops and flips. Each
/// step amplifies their rounding errors, so only the losses of the first epoch, which has three steps, are nearly
/// equal.
void expect_training(const Dataset& train, const Dataset& test) {
  HalvesRun cpu(DeviceKind::kCpu, train, test), emulated(DeviceKind::kEmulated, train, test);
  for (HalvesRun* run : {&cpu, &emulated}) {
    EXPECT_TRUE(run->trainer->run());
    ASSERT_EQ(run->losses.size(), 3u);
    EXPECT_LT(run->losses[2], 0.9 * std::log(2.0));  // ln 2: the loss of two classes at chance
    EXPECT_EQ(run->trainer->evaluate().images, test.count);
  }
  EXPECT_NEAR(emulated.losses[0], cpu.losses[0], 2e-3 * cpu.losses[0]);
}

TEST(ImageShapes, GrayImagesOf28x28AreTrained) {
  const ImageShape shape{28, 28, 1};
  expect_training(halves("train", 24, shape), halves("test", 6, shape));
}

TEST(ImageShapes, ColorImagesOf64x64AreTrained) {
  const ImageShape shape{64, 64, 3};
  expect_training(halves("train", 24, shape), halves("test", 6, shape));
}

TEST(ImageShapes, F32ImagesOfTwoChannelsAndUnlikeSidesAreTrained) {
  const ImageShape shape{19, 26, 2};
  expect_training(as_f32(halves("train", 24, shape), -300, 1000), as_f32(halves("test", 6, shape), -300, 1000));
}

TEST(ImageShapes, ImagesOfFourChannelsAreTrained) {
  const ImageShape shape{9, 30, 4};
  expect_training(halves("train", 24, shape), halves("test", 6, shape));
}

// The normalization removes a scale and an offset of the pixels. A crop would pad the image with 0, which is not scaled
// and shifted, so this test has no augmentation.
TEST(ImageShapes, F32ImagesAreNormalizedAsBytesAre) {
  const ImageShape shape{12, 9, 3};
  const Dataset train = halves("train", 16, shape), test = halves("test", 4, shape);
  Augmentation none;
  none.enabled = false;
  HalvesRun bytes(DeviceKind::kCpu, train, test, none),
      values(DeviceKind::kCpu, as_f32(train, 2, 0.5), as_f32(test, 2, 0.5), none);
  for (HalvesRun* run : {&bytes, &values}) EXPECT_TRUE(run->trainer->run(1));
  EXPECT_NEAR(values.losses[0], bytes.losses[0], 1e-4 * bytes.losses[0]);
}

/// All images as one batch: normalized, without augmentation.
std::vector<float> normalized(const Dataset& train, const Dataset& images) {
  const auto backend = make_backend({});
  const TrainingData data = upload_training_data(*backend, train, images);
  return gather_batch(data.test.images, data.test.labels, make_order(*backend, images.count, 1, 0), images.count,
                      make_step_state(*backend, 1), data.test_gather)
      .images.to_host<float>();
}

TEST(ImageShapes, NormalizedF32ImagesHaveMean0AndStd1) {
  const Dataset train = as_f32(halves("train", 16, {7, 5, 2}), 1e-6f, 0);
  const std::vector<float> values = normalized(train, train);
  for (const std::size_t channel : {0, 1}) {
    double sum = 0, squares = 0;
    for (std::size_t i = channel; i < values.size(); i += 2) {
      sum += static_cast<double>(values[i]);
      squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    const double count = static_cast<double>(values.size()) / 2;
    EXPECT_NEAR(sum / count, 0, 1e-5);
    EXPECT_NEAR(squares / count, 1, 1e-5);
  }
}

TEST(ImageShapes, AChannelOfOneF32ValueIsNearZero) {
  Dataset train = halves("train", 4, {7, 5, 1});
  train.f32_images.assign(train.images.size(), 1000.1f);
  train.images.clear();
  for (const float value : normalized(train, train))
    ASSERT_NEAR(value, 0, 1e-4f);  // the rounding error of 1000.1 is up to 3e-5
}

TEST(ImageShapes, ImagesThatAreTooSmallAreRefusedBeforeTraining) {
  const auto backend = make_backend({});
  const StepState state = make_step_state(*backend, 1);
  const auto network = make_network("vgg19", *backend, {2, 0, state, 1});
  const ImageShape shape{40, 28, 1};
  const TrainingData data = upload_training_data(*backend, halves("train", 4, shape), halves("test", 4, shape));
  TrainerOptions options;
  options.optimizer.strategy = parse_strategy("1:0.1");
  const auto refuses = testing::ThrowsMessage<Error>(
      HasSubstr("expected images of at least 32x32 pixels, which this network needs, got 40x28"));
  EXPECT_THAT([&] { Trainer(*network, state, data, options); }, refuses);
  EXPECT_THAT([&] { Evaluator(*network, data.test, data.test_gather, 4); }, refuses);
}

TEST(ImageShapes, SplitsOfOtherShapesAndTypesAreRefused) {
  const auto backend = make_backend({});
  const Dataset train = halves("train", 4, {8, 9, 2}), other = halves("validation", 4, {9, 8, 2});
  EXPECT_THAT(
      [&] {
        upload_training_data(*backend, train, halves("test", 4, {8, 9, 1}));
      },
      testing::ThrowsMessage<Error>(HasSubstr("expected test images of 8x9x2 u8 like the train images, got 8x9x1")));
  EXPECT_THAT([&] { upload_training_data(*backend, train, as_f32(train, 1, 0)); },
              testing::ThrowsMessage<Error>(HasSubstr("got 8x9x2 f32")));
  EXPECT_THAT([&] { upload_training_data(*backend, train, train, {}, other); },
              testing::ThrowsMessage<Error>(HasSubstr("expected validation images of 8x9x2 u8")));
}

TEST(ImageShapes, ACheckpointForOtherChannelsIsRefusedByItsFirstConvolution) {
  const ScratchFolder folder;
  const ImageShape gray{12, 12, 1}, color{12, 12, 3};
  HalvesRun saved(DeviceKind::kCpu, halves("train", 8, gray), halves("test", 4, gray), {}, "of one text");
  saved.trainer->save(folder / "gray");
  HalvesRun other(DeviceKind::kCpu, halves("train", 8, color), halves("test", 4, color), {}, "of one text");
  const auto refuses = testing::ThrowsMessage<Error>(
      AllOf(HasSubstr("gray: the weights' 'conv1.weight' has shape [16, 1, 3, 3], expected [16, 3, 3, 3]"),
            HasSubstr("the weights are for images of 1 channels")));
  EXPECT_THAT([&] { other.trainer->load(folder / "gray"); }, refuses);
  EXPECT_THAT([&] { load_weights(folder / "gray", *other.network); }, refuses);
}

// The settings of a checkpoint contain the shape of the images. Byte images of 32x32x3 are an exception, because
// release 0.1 wrote no shape.
TEST(ImageShapes, ACheckpointOnOtherImagesIsRefused) {
  const ScratchFolder folder;
  const ImageShape small{12, 12, 3}, usual{32, 32, 3};
  HalvesRun saved(DeviceKind::kCpu, halves("train", 8, small), halves("test", 4, small));
  saved.trainer->save(folder / "small");
  HalvesRun other(DeviceKind::kCpu, halves("train", 8, usual), halves("test", 4, usual));
  EXPECT_THAT([&] { other.trainer->load(folder / "small"); },
              testing::ThrowsMessage<Error>(HasSubstr("expected height 12, width 12, got height 32, width 32")));
}

}  // namespace
}  // namespace gradamp
