// SPDX-License-Identifier: MIT
// Training with the CUDA kernels as on a GPU: steps are recorded and replayed as graphs, the host waits once per epoch,
// and the device's memory is limited. The tests use the emulated device, which counts waits and launches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/emulation/config.h"
#include "gradamp/tests/tools/run/runs.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::HasSubstr;

constexpr int kDeviceEpochs = 4;
constexpr int kDeviceSteps = 3;

/// Epochs: plain, analyzed, amplified, and plain with a smaller learning rate. Measuring windows of three epochs are
/// open beside the analyzed one. The last batch of training and the last batch of evaluation are smaller than the
/// others.
RunSettings device_run(const fs::path& folder) {
  RunSettings settings;
  settings.device = "emulated";
  settings.network = "resnet8";
  settings.train_images = 10;
  settings.test_images = 3;
  settings.batch_size = 4;
  settings.evaluation_batch = 2;
  settings.strategy = "1:0.05, 3:0.05:2, 4:0.01";
  settings.threshold = 0.5;
  settings.measure_every = 3;
  settings.dropout = 0.1;
  settings.threads = 1;
  settings.run_folder = folder.string();
  return settings;
}

RunSettings backprop_run(const fs::path& folder) {
  RunSettings settings = device_run(folder);
  settings.strategy = "1:0.05, 4:0.05:2";
  settings.reselect_every = 1;
  settings.placement = Placement::kBackprop;
  settings.granularity = Granularity::kNeuron;
  return settings;
}

/// Expects that a run that is stopped after each of `steps`, in ascending order, and resumed each time is equal to an
/// uninterrupted run.
void expect_resumable(RunSettings (*make_settings)(const fs::path&), const std::vector<int>& steps) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(make_settings(folder / "unbroken")), 0);
  const fs::path run = folder / "broken";
  stop_after(make_settings(run), steps.front());
  for (std::size_t i = 1; i < steps.size(); ++i) stop_resumed_after(run, steps[i] - steps[i - 1]);
  ASSERT_EQ(resume_in_child(run), 0);
  expect_equal_runs(run, folder / "unbroken", kDeviceEpochs);
}

// A resumed epoch runs its first step without a graph, while an uninterrupted run replays a graph. The bits must be
// equal.
TEST(DeviceTraining, StoppedAndResumedEqualsUnbroken) {
  expect_resumable(device_run, {2, kDeviceSteps + 2, 2 * kDeviceSteps + 1});
}

TEST(DeviceTraining, BackpropPlacementByNeuronIsResumable) { expect_resumable(backprop_run, {2 * kDeviceSteps + 1}); }

RunSettings bf16_run(const fs::path& folder) {
  RunSettings settings = device_run(folder);
  settings.precision = Precision::kBF16;
  return settings;
}

TEST(DeviceTraining, LowerPrecisionIsResumable) { expect_resumable(bf16_run, {kDeviceSteps + 2}); }

// In deferred mode the emulator does work only when the host waits for it. A host that reads too early reads old
// values.
TEST(DeviceTraining, NothingIsReadBeforeItIsThere) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(device_run(folder / "at-once")), 0);
  ASSERT_EQ(in_child([&] {
              emulation::config().deferred = true;
              train(device_run(folder / "deferred"), {});
            }),
            0);
  expect_equal_runs(folder / "deferred", folder / "at-once", kDeviceEpochs);
}

/// Counts the host's waits within epochs. Does not count the waits at the end of an epoch, for logs and checkpoints.
class CountWaits : public TrainingObserver {
 public:
  void on_step(const StepProgress& progress) override {
    const std::uint64_t waits = emulation::statistics().waits;
    if (progress.images > kFirst) waits_ += waits - last_;
    last_ = waits;
    ++steps_;
  }
  std::uint64_t waits() const { return waits_; }
  int steps() const { return steps_; }

 private:
  static constexpr std::int64_t kFirst = 4;  // the first step of an epoch begins before the observer is called
  std::uint64_t waits_ = 0, last_ = 0;
  int steps_ = 0;
};

TEST(DeviceTraining, MeasuringChangesNoBit) {
  const ScratchFolder folder;
  RunSettings plain = device_run(folder / "plain");
  plain.measure_every = 0;
  ASSERT_EQ(train_in_child(plain), 0);
  ASSERT_EQ(train_in_child(device_run(folder / "measured")), 0);
  expect_same_training(folder / "measured", folder / "plain");
  EXPECT_EQ(lines_of(folder / "measured/measures.jsonl").size(), 30u);  // 15 layers, epochs 1 to 3 and 4
}

TEST(DeviceTraining, TheHostDoesNotWaitInsideAnEpoch) {
  const ScratchFolder folder;
  EXPECT_EQ(in_child([&] {
              CountWaits observer;
              RunSettings settings = device_run(folder / "run");
              train(settings, {nullptr, &observer, nullptr});
              check(observer.steps() == kDeviceEpochs * kDeviceSteps, "expected {} steps, got {}",
                    kDeviceEpochs * kDeviceSteps, observer.steps());
              // Two waits per epoch are allowed: after the last step, the host waits for the counters and the metrics.
              check(observer.waits() <= 2 * kDeviceEpochs, "the host waited {} times inside {} epochs",
                    observer.waits(), kDeviceEpochs);
              check(emulation::statistics().graph_launches > 0, "expected steps to be replayed from graphs");
            }),
            0);
}

/// The batch size in a message such as "a batch size of 24 would fit", or 0.
std::int64_t named_batch_size(const std::string& message) {
  const std::string words = "a batch size of ";
  const std::size_t at = message.find(words);
  return at == std::string::npos ? 0 : std::stoll(message.substr(at + words.size()));
}

void train_in_memory(const fs::path& folder, std::size_t mebibytes, std::int64_t batch_size, std::int64_t shards) {
  emulation::config().memory_limit = mebibytes << 20;
  RunSettings settings = device_run(folder);
  settings.strategy = "1:0.05";
  settings.train_images = 2 * batch_size;
  settings.batch_size = batch_size;
  settings.shards = shards;
  train(settings, {});
}

/// Expects that a run with too large a batch names a batch size that fits, and of which twice as much does not.
void expect_fitting_batch(std::size_t mebibytes, std::int64_t batch_size, std::int64_t shards) {
  const ScratchFolder folder;
  const auto train_with = [&](const char* name, std::int64_t images) {
    train_in_memory(folder / name, mebibytes, images, shards);
  };
  const std::string message = error_in_child(folder.path(), [&] { train_with("large", batch_size); });
  EXPECT_THAT(message, HasSubstr(fmt::format("a step of {} images: out of memory: ", batch_size)));
  EXPECT_THAT(message, HasSubstr("MiB were asked for"));
  EXPECT_THAT(message, HasSubstr("are held"));
  EXPECT_THAT(message, HasSubstr("are free"));
  const std::int64_t fits = named_batch_size(message);
  ASSERT_GE(fits, shards) << message;
  ASSERT_LT(fits, batch_size) << message;
#if !defined(__SANITIZE_ADDRESS__)  // with which no memory is used again inside a step: it is found after it was freed
  EXPECT_EQ(in_child([&] { train_with("fitting", fits); }), 0) << message;
  EXPECT_EQ(in_child([&] { train_with("twice", std::min(2 * fits, batch_size - 1)); }), 1)
      << "so little was not needed: " << message;
#endif
}

TEST(DeviceTraining, OutOfMemorySaysWhatWouldFit) { expect_fitting_batch(24, 64, 1); }

TEST(DeviceTraining, OutOfMemoryWithShardsSaysWhatWouldFit) { expect_fitting_batch(12, 80, 4); }

TEST(DeviceTraining, OutOfMemorySaysThatNoBatchWouldFit) {
  const ScratchFolder folder;
  const auto message = [&](const char* name, std::size_t mebibytes, std::int64_t batch_size, std::int64_t shards) {
    return error_in_child(folder.path(), [&] { train_in_memory(folder / name, mebibytes, batch_size, shards); });
  };
  EXPECT_THAT(message("small", 2, 2, 1), HasSubstr("; not even a step of one image fits"));
  EXPECT_THAT(message("shards", 2, 4, 4), HasSubstr("; not even a step of one image per shard fits"));
#if !defined(__SANITIZE_ADDRESS__)  // see above
  EXPECT_THAT(message("single", 3, 2, 1), HasSubstr("; a batch size of 1 would fit"));
#endif
}

TEST(DeviceTraining, TheCpuHasNoTF32) {
  const ScratchFolder folder;
  RunSettings settings = device_run(folder / "run");
  settings.device = "cpu";
  settings.precision = Precision::kTF32;
  EXPECT_EQ(error_in_child(folder.path(), [&] { train(settings, {}); }),
            "--precision: the device cpu has f32 and bf16, got tf32");
}

TEST(DeviceTraining, EveryDeviceHasItsOwnConvolutions) {
  const ScratchFolder folder;
  RunSettings settings = device_run(folder / "run");
  settings.convolution = ConvolutionMethod::kWinograd;
  EXPECT_EQ(error_in_child(folder.path(), [&] { train(settings, {}); }),
            "--conv: the device emulated has the convolutions auto, naive, mma, hopper; got winograd");
}

}  // namespace
}  // namespace gradamp
