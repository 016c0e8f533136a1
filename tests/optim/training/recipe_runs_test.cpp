// SPDX-License-Identifier: MIT
// Whole runs with a schedule per step and other recipes: the rate that is logged, and resumption inside an epoch.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
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

/// A name and what it changes in the options.
struct Recipe {
  std::string name;
  std::function<void(OptimizerOptions&)> apply;
};

std::vector<Recipe> recipes() {
  return {{"cosine after a warm-up",
           [](OptimizerOptions& options) {
             options.schedule = Schedule::kCosine;
             options.warmup_steps = 4;
           }},
          {"one-cycle", [](OptimizerOptions& options) { options.schedule = Schedule::kOneCycle; }},
          {"phases after a warm-up", [](OptimizerOptions& options) { options.warmup_steps = 5; }},
          {"adamw",
           [](OptimizerOptions& options) {
             options.update_rule = UpdateRule::kAdamW;
             options.strategy = parse_strategy("1:0.01, 3:0.01:2, 4:0.005");
           }},
          {"adamw by neuron, everything",
           [](OptimizerOptions& options) {
             options.update_rule = UpdateRule::kAdamW;
             options.schedule = Schedule::kCosine;
             options.warmup_steps = 4;
             options.peak_rate = 0.01;
             options.decay_norm_bias = false;
             options.clip_norm = 0.5;
             options.sgd.granularity = Granularity::kNeuron;
           }},
          {"sgd, everything", [](OptimizerOptions& options) {
             options.schedule = Schedule::kOneCycle;
             options.decay_norm_bias = false;
             options.clip_norm = 0.5;
             options.sgd.nesterov = true;
             options.sgd.weight_decay = 0.1f;
           }}};
}

/// A run of three steps per epoch. Epoch 2 is analyzed, epoch 3 amplified.
struct RecipeTrainer {
  RecipeTrainer(DeviceKind kind, const Recipe& recipe, int threads = 0)
      : backend(make_backend(Device{kind}, {.threads = threads})), state(make_step_state(*backend, 7)) {
    network.append(std::make_shared<MaxPool2d>(Pool2dParams{8, 8}));  // small images, for the emulator
    network.append(std::make_shared<Conv2d>(*backend, 3, 4, 3, Conv2dParams{1, 1}, true));
    network.append(std::make_shared<BatchNorm>(*backend, 4));
    network.append(std::make_shared<ReLU>());
    network.append(std::make_shared<Flatten>());
    network.append(std::make_shared<Linear>(*backend, 4 * 4 * 4, 10));
    initialize(network, Initialization::kPyTorch, 3);
    TrainerOptions options;
    options.batch_size = 16;
    options.optimizer.strategy = parse_strategy("1:0.1, 3:0.1:2, 4:0.05");
    options.optimizer.selection.threshold = 0;
    options.stop = &stop;
    recipe.apply(options.optimizer);
    TrainerCallbacks callbacks;
    callbacks.on_step = [this](const StepProgress& step) { stop = step.epoch == stop_epoch && step.images == 16; };
    callbacks.on_epoch = [this](const EpochSummary& epoch) { logged.push_back(epoch.learning_rate); };
    trainer = std::make_unique<Trainer>(
        network, state,
        upload_training_data(*backend, make_synthetic_dataset(1, "train", 40), make_synthetic_dataset(1, "test", 20)),
        options, callbacks);
  }

  std::string checkpoint(const std::filesystem::path& path) const {
    trainer->save(path);
    return text_of(path);
  }

  std::unique_ptr<Backend> backend;
  StepState state;
  Sequential network;
  std::atomic<bool> stop = false;
  int stop_epoch = 0;
  std::vector<double> logged;
  std::unique_ptr<Trainer> trainer;
};

class RecipeRuns : public testing::TestWithParam<DeviceKind> {};

TEST_P(RecipeRuns, ResumedInsideAnEpochEqualUninterrupted) {
  const ScratchFolder folder;
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    RecipeTrainer unbroken(GetParam(), recipe), interrupted(GetParam(), recipe), resumed(GetParam(), recipe);
    RecipeTrainer plain(GetParam(), {"plain", [](OptimizerOptions&) {}});
    EXPECT_TRUE(unbroken.trainer->run());
    EXPECT_TRUE(plain.trainer->run());
    EXPECT_EQ(unbroken.trainer->steps_per_epoch(), 3);
    interrupted.stop_epoch = 3;
    EXPECT_FALSE(interrupted.trainer->run());
    interrupted.trainer->save(folder / "interrupted");
    resumed.trainer->load(folder / "interrupted");
    EXPECT_TRUE(resumed.trainer->run());
    const std::string expected = unbroken.checkpoint(folder / "unbroken");
    EXPECT_TRUE(resumed.checkpoint(folder / "resumed") == expected);
    const auto weights = [](RecipeTrainer& run) {
      return run.trainer->optimizer().arena().arena().weights.to_host<float>();
    };
    EXPECT_NE(weights(plain), weights(unbroken));
    EXPECT_THAT([&] { plain.trainer->load(folder / "interrupted"); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("was saved with other settings")));
    for (const int threads : {1, 2}) {
      if (GetParam() != DeviceKind::kCpu) break;  // recipes_test.cpp has threads on every device
      RecipeTrainer run(GetParam(), recipe, threads);
      EXPECT_TRUE(run.trainer->run());
      EXPECT_TRUE(run.checkpoint(folder / "run") == expected);
    }
  }
}

TEST_P(RecipeRuns, TheLoggedRateIsThatOfTheEpochsLastStep) {
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    RecipeTrainer run(GetParam(), recipe);
    for (int epoch = 1; epoch <= 4; ++epoch) {
      EXPECT_TRUE(run.trainer->run(epoch));
      const OptimizerOptions& options = run.trainer->optimizer().options();
      EXPECT_EQ(run.logged.back(), step_rates(options, epoch).back());
      EXPECT_EQ(run.state.learning_rate.to_host<float>()[0], static_cast<float>(run.logged.back()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, RecipeRuns, testing::Values(DeviceKind::kCpu, DeviceKind::kEmulated),
                         [](const auto& row) { return to_string(Device{row.param}); });

}  // namespace
}  // namespace gradamp
