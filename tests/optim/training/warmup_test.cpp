// SPDX-License-Identifier: MIT
// The linear warm-up of the learning rate (OptimizerValues::warmup_epochs).
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/data/synthetic.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/layers/layers.h"
#include "gradamp/optim/training/trainer.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

OptimizerOptions options_with(int warmup_epochs, SelectionMethod method = SelectionMethod::kMeasure) {
  OptimizerOptions options;
  options.strategy = parse_strategy("2:0.4, 4:0.1:2, 6:0.01");
  options.selection.method = method;
  options.warmup_epochs = warmup_epochs;
  return options;
}

std::vector<double> rates_of(const OptimizerOptions& options) {
  std::vector<double> rates;
  for (int epoch = 1; epoch <= options.strategy.epochs(); ++epoch)
    rates.push_back(plan_epoch(options, epoch).learning_rate);
  return rates;
}

TEST(Warmup, TheRateRisesInEqualStepsToTheStrategys) {
  using testing::DoubleEq;
  for (const SelectionMethod method : {SelectionMethod::kNone, SelectionMethod::kMeasure, SelectionMethod::kRandom}) {
    // If a phase begins during the warm-up, the warm-up continues with that phase's rate.
    EXPECT_THAT(rates_of(options_with(3, method)),
                testing::ElementsAre(DoubleEq(0.1), DoubleEq(0.2), DoubleEq(0.075), 0.1, 0.01, 0.01));
    EXPECT_THAT(rates_of(options_with(0, method)), testing::ElementsAre(0.4, 0.4, 0.1, 0.1, 0.01, 0.01));
  }
  EXPECT_THAT(rates_of(options_with(7)).back(), DoubleEq(0.01 * 6 / 8)) << "longer than the run";
}

struct WarmupRun {
  explicit WarmupRun(DeviceKind kind, int warmup_epochs)
      : backend(make_backend(Device{kind})), state(make_step_state(*backend, 7)) {
    network.append(std::make_shared<Flatten>());
    network.append(std::make_shared<Linear>(*backend, 3072, 10));
    initialize(network, Initialization::kPyTorch, 3);
    TrainerOptions options;
    options.batch_size = 16;
    options.optimizer = options_with(warmup_epochs);
    TrainerCallbacks callbacks;
    callbacks.on_epoch = [this](const EpochSummary& epoch) { logged.push_back(epoch.learning_rate); };
    trainer = std::make_unique<Trainer>(
        network, state,
        upload_training_data(*backend, make_synthetic_dataset(1, "train", 40), make_synthetic_dataset(1, "test", 20)),
        options, callbacks);
  }

  std::unique_ptr<Backend> backend;
  StepState state;
  Sequential network;
  std::unique_ptr<Trainer> trainer;
  std::vector<double> logged;
};

class WarmupOnDevice : public testing::TestWithParam<DeviceKind> {};

TEST_P(WarmupOnDevice, TheDeviceHasTheRateThatIsLogged) {
  WarmupRun run(GetParam(), 3);
  for (int epoch = 1; epoch <= 6; ++epoch) {
    EXPECT_TRUE(run.trainer->run(epoch));
    EXPECT_EQ(run.logged.back(), plan_epoch(options_with(3), epoch).learning_rate);
    EXPECT_EQ(run.state.learning_rate.to_host<float>()[0], static_cast<float>(run.logged.back()));
  }
}

TEST_P(WarmupOnDevice, ARunResumedInItEqualsTheUninterrupted) {
  const ScratchFolder folder;
  WarmupRun unbroken(GetParam(), 3), interrupted(GetParam(), 3), resumed(GetParam(), 3), without(GetParam(), 0);
  EXPECT_TRUE(unbroken.trainer->run());
  EXPECT_TRUE(without.trainer->run());
  EXPECT_TRUE(interrupted.trainer->run(2));
  interrupted.trainer->save(folder / "interrupted");
  resumed.trainer->load(folder / "interrupted");
  EXPECT_TRUE(resumed.trainer->run());
  resumed.trainer->save(folder / "resumed");
  unbroken.trainer->save(folder / "unbroken");
  EXPECT_EQ(text_of(folder / "resumed"), text_of(folder / "unbroken"));
  const auto weights = [](WarmupRun& run) { return run.trainer->optimizer().arena().arena().weights.to_host<float>(); };
  EXPECT_NE(weights(unbroken), weights(without));
  EXPECT_THAT([&] { without.trainer->load(folder / "interrupted"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("expected warmup_epochs 3, got warmup_epochs 0; ")));
}

INSTANTIATE_TEST_SUITE_P(Devices, WarmupOnDevice, testing::Values(DeviceKind::kCpu, DeviceKind::kEmulated),
                         [](const auto& row) { return to_string(Device{row.param}); });

TEST(Warmup, ANegativeOneIsRefused) {
  EXPECT_THAT([&] { WarmupRun(DeviceKind::kCpu, -1); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("expected a warm-up of 0 or more epochs, got -1")));
}

}  // namespace
}  // namespace gradamp
