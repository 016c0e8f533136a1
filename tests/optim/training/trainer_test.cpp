// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gradamp/data/synthetic.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/layers/layers.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::shared_ptr<Sequential> small_network(Backend& backend, const StepState& state) {
  auto network = std::make_shared<Sequential>();
  network->append(std::make_shared<Conv2d>(backend, 3, 4, 3, Conv2dParams{2, 1}));
  network->append(std::make_shared<BatchNorm>(backend, 4));
  network->append(std::make_shared<ReLU>());
  network->append(std::make_shared<MaxPool2d>(Pool2dParams{4, 4}));
  network->append(std::make_shared<Flatten>());
  network->append(std::make_shared<Dropout>(DropoutParams{0.1f, 0}, state));
  network->append(std::make_shared<Linear>(backend, 4 * 4 * 4, 10));
  initialize(*network, Initialization::kPyTorch, 3);
  return network;
}

TrainingData small_data(Backend& backend, const Augmentation& augmentation = {}) {
  return upload_training_data(backend, make_synthetic_dataset(1, "train", 40), make_synthetic_dataset(1, "test", 20),
                              augmentation);
}

TrainerOptions options_for(const std::string& strategy) {
  TrainerOptions options;
  options.batch_size = 16;  // two whole steps and a smaller one
  options.optimizer.strategy = parse_strategy(strategy);
  return options;
}

/// All objects of one run, on one device.
struct OwnRun {
  explicit OwnRun(DeviceKind kind, TrainerOptions options = options_for("1:0.1, 3:0.1:2, 4:0.05"),
                  TrainerCallbacks callbacks = {}, const Augmentation& augmentation = {})
      : backend(make_backend(Device{kind})),
        state(make_step_state(*backend, 7)),
        network(small_network(*backend, state)),
        trainer(*network, state, small_data(*backend, augmentation), std::move(options), std::move(callbacks)) {}

  std::string checkpoint(const std::filesystem::path& path) {
    trainer.save(path);
    return text_of(path);
  }

  std::unique_ptr<Backend> backend;
  StepState state;
  std::shared_ptr<Module> network;
  Trainer trainer;
};

/// Options and callbacks of an OwnRun that stops after the first step of epoch 2, which is analyzed.
struct StopInEpochTwo {
  StopInEpochTwo() {
    options.stop = &stop;
    callbacks.on_step = [this](const StepProgress& step) { stop = step.epoch == 2 && step.images == 16; };
  }

  std::atomic<bool> stop = false;
  TrainerOptions options = options_for("1:0.1, 3:0.1:2, 4:0.05");
  TrainerCallbacks callbacks;
};

class TrainerTest : public testing::TestWithParam<DeviceKind> {};

TEST_P(TrainerTest, TellsOfStepsSelectionsAndEpochsInTheirOrder) {
  std::vector<std::string> heard;
  TrainerCallbacks callbacks;
  callbacks.on_step = [&](const StepProgress& step) {
    heard.push_back(fmt::format("step {}/{} of {}/{}", step.images, step.images_per_epoch, step.epoch, step.epochs));
  };
  callbacks.on_evaluation = [&](const StepProgress& step) {
    EXPECT_EQ(step.images, step.images_per_epoch);
    EXPECT_GT(step.loss, 0);
    heard.push_back(fmt::format("evaluated {}/{} of {}", step.evaluated, step.to_evaluate, step.epoch));
  };
  callbacks.on_selection = [&](const SelectionSummary& selection) {
    heard.push_back(fmt::format("selection {}: {} layers", selection.epoch, selection.layers.size()));
  };
  callbacks.on_epoch = [&](const EpochSummary& epoch) {
    heard.push_back(fmt::format("epoch {}, analyzed {}, amplified {}", epoch.epoch, epoch.analyzed, epoch.amplified));
    EXPECT_GT(epoch.train_loss, 0);
    EXPECT_GE(epoch.test_accuracy, 0);
  };
  TrainerOptions options = options_for("1:0.1:2, 2:0.1");
  options.evaluation_batch = 12;
  OwnRun run(GetParam(), options, callbacks);
  EXPECT_EQ(run.trainer.steps_per_epoch(), 3);
  EXPECT_FALSE(run.trainer.finished());
  EXPECT_TRUE(run.trainer.run());
  EXPECT_TRUE(run.trainer.finished());
  EXPECT_THAT(heard,
              ElementsAre("step 16/40 of 1/2", "step 32/40 of 1/2", "step 40/40 of 1/2", "selection 1: 3 layers",
                          "evaluated 12/20 of 1", "evaluated 20/20 of 1", "epoch 1, analyzed true, amplified false",
                          "step 16/40 of 2/2", "step 32/40 of 2/2", "step 40/40 of 2/2", "evaluated 12/20 of 2",
                          "evaluated 20/20 of 2", "epoch 2, analyzed false, amplified false"));
  EXPECT_EQ(run.trainer.evaluate().images, 20);
  EXPECT_FALSE(run.trainer.evaluate_validation().has_value());
}

TEST_P(TrainerTest, StoppedSavedAndLoadedEqualsUnbroken) {
  const ScratchFolder folder;
  OwnRun unbroken(GetParam());
  EXPECT_TRUE(unbroken.trainer.run());

  {
    const StopInEpochTwo stop;
    OwnRun broken(GetParam(), stop.options, stop.callbacks);
    EXPECT_FALSE(broken.trainer.run());
    EXPECT_EQ(broken.trainer.position().epoch, 2);
    EXPECT_FALSE(broken.trainer.position().epoch_finished);
    broken.trainer.save(folder / "broken");
  }
  OwnRun resumed(GetParam());
  resumed.trainer.load(folder / "broken");
  EXPECT_EQ(resumed.trainer.position().epoch, 2);
  EXPECT_TRUE(resumed.trainer.run(3));
  EXPECT_EQ(resumed.trainer.position().epoch, 3);
  EXPECT_TRUE(resumed.trainer.run());
  EXPECT_EQ(resumed.checkpoint(folder / "resumed"), unbroken.checkpoint(folder / "unbroken"));
}

TEST_P(TrainerTest, ShardsResumeToTheSameBits) {
  const ScratchFolder folder;
  std::string of_four;
  for (const std::int64_t shards : {4, 16}) {  // of 16, eight are empty in an epoch's last batch
    TrainerOptions sharded = options_for("1:0.1, 3:0.1:2, 4:0.05");
    sharded.shards = shards;
    OwnRun unbroken(GetParam(), sharded);
    EXPECT_TRUE(unbroken.trainer.run());
    StopInEpochTwo stop;
    stop.options.shards = shards;
    OwnRun broken(GetParam(), stop.options, stop.callbacks);
    EXPECT_FALSE(broken.trainer.run());
    broken.trainer.save(folder / "broken");
    OwnRun resumed(GetParam(), sharded);
    resumed.trainer.load(folder / "broken");
    EXPECT_TRUE(resumed.trainer.run());
    const std::string bits = resumed.checkpoint(folder / "resumed");
    EXPECT_EQ(bits, unbroken.checkpoint(folder / "unbroken"));
    EXPECT_NE(bits, of_four);
    of_four = bits;
    OwnRun other(GetParam());
    EXPECT_THAT([&] { other.trainer.load(folder / "broken"); },
                ThrowsMessage<Error>(HasSubstr(fmt::format("expected shards {}, got no shards", shards))));
  }
  TrainerOptions bad = options_for("1:0.1");
  bad.shards = 3;
  EXPECT_THAT([&] { OwnRun(GetParam(), bad); },
              ThrowsMessage<Error>("expected a number of shards of 1, 2, 4, ... up to 128, got 3"));
}

/// Cutout without crop and flip, and label smoothing.
const Augmentation kCutout{.enabled = false, .cutout = 8};

TEST_P(TrainerTest, LabelSmoothingAndCutoutResumeToTheSameBits) {
  const ScratchFolder folder;
  TrainerOptions smoothed = options_for("1:0.1, 3:0.1:2, 4:0.05");
  smoothed.loss.label_smoothing = 0.2;
  OwnRun unbroken(GetParam(), smoothed, {}, kCutout);
  EXPECT_TRUE(unbroken.trainer.run());
  StopInEpochTwo stop;
  stop.options.loss.label_smoothing = 0.2;
  OwnRun broken(GetParam(), stop.options, stop.callbacks, kCutout);
  EXPECT_FALSE(broken.trainer.run());
  broken.trainer.save(folder / "broken");
  OwnRun resumed(GetParam(), smoothed, {}, kCutout);
  resumed.trainer.load(folder / "broken");
  EXPECT_TRUE(resumed.trainer.run());
  const std::string bits = resumed.checkpoint(folder / "resumed");
  EXPECT_EQ(bits, unbroken.checkpoint(folder / "unbroken"));

  OwnRun other(GetParam(), options_for("1:0.1, 3:0.1:2, 4:0.05"), {}, kCutout);
  EXPECT_THAT([&] { other.trainer.load(folder / "broken"); },
              testing::ThrowsMessage<Error>(HasSubstr("expected label_smoothing 0.2, got no label_smoothing")));
  OwnRun whole(GetParam(), smoothed, {}, {.enabled = false});
  EXPECT_THAT([&] { whole.trainer.load(folder / "broken"); },
              testing::ThrowsMessage<Error>(HasSubstr("expected cutout 8, got no cutout")));
}

TEST_P(TrainerTest, OnlyTheTrainingLossIsSmoothed) {
  std::vector<EpochSummary> epochs;
  TrainerCallbacks callbacks;
  callbacks.on_epoch = [&](const EpochSummary& epoch) { epochs.push_back(epoch); };
  for (const double smoothing : {0.0, 0.2}) {
    // With a rate this small, the weights stay nearly as they are.
    TrainerOptions options = options_for("1:1e-9");
    options.loss.label_smoothing = smoothing;
    OwnRun run(GetParam(), options, callbacks);
    EXPECT_TRUE(run.trainer.run());
  }
  ASSERT_EQ(epochs.size(), 2u);
  EXPECT_NEAR(epochs[1].test_loss, epochs[0].test_loss, 1e-6);
  EXPECT_GT(std::abs(epochs[1].train_loss - epochs[0].train_loss), 1e-4);
  EXPECT_EQ(epochs[1].train_accuracy, epochs[0].train_accuracy);
}

TEST_P(TrainerTest, AnEvaluationsLossIsPlainCrossEntropyAndNothingRunsInsideIt) {
  TrainerOptions options = options_for("1:0.1");
  options.loss.label_smoothing = 0.2;
  OwnRun* run = nullptr;
  std::vector<std::string> errors;
  TrainerCallbacks callbacks;
  callbacks.on_evaluation = [&](const StepProgress&) {
    try {
      run->trainer.evaluate();
    } catch (const Error& error) {
      errors.emplace_back(error.what());
    }
  };
  EpochSummary summary;
  callbacks.on_epoch = [&](const EpochSummary& epoch) { summary = epoch; };
  OwnRun trained(GetParam(), options, callbacks);
  run = &trained;
  EXPECT_TRUE(trained.trainer.run());
  EXPECT_THAT(errors, ElementsAre(HasSubstr("this evaluation is running")));
  const TrainingData data = small_data(*trained.backend);
  const std::vector<float> outputs = Evaluator(*trained.network, data.test, data.test_gather, 20).outputs();
  const std::vector<std::int32_t> labels = data.test.labels.to_host<std::int32_t>();
  double loss = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < 10; ++k) sum += std::exp(static_cast<double>(outputs[10 * i + k]));
    loss += std::log(sum) - static_cast<double>(outputs[10 * i + static_cast<std::size_t>(labels[i])]);
  }
  EXPECT_NEAR(summary.test_loss, loss / static_cast<double>(labels.size()), 1e-5);
}

/// Options and callbacks of an OwnRun that measures, with the order of what it reports.
struct MeasuringRun {
  explicit MeasuringRun(std::int64_t every) {
    options.optimizer.measure_every = every;
    callbacks.on_selection = [this](const SelectionSummary&) { heard.push_back("selection"); };
    callbacks.on_measure = [this](const MeasureSummary& summary) {
      heard.push_back(fmt::format("{}-{}: {} layers, {:.3f}", summary.first_epoch, summary.epoch, summary.layers.size(),
                                  summary.noise_floor));
    };
    callbacks.on_epoch = [this](const EpochSummary& summary) { heard.push_back(std::to_string(summary.epoch)); };
  }

  TrainerOptions options = options_for("1:0.1, 3:0.1:2, 4:0.05");
  TrainerCallbacks callbacks;
  std::vector<std::string> heard;
};

TEST(TrainerMeasuring, MeasuresAreReportedBetweenTheSelectionAndTheEpoch) {
  MeasuringRun measuring(2);
  OwnRun run(DeviceKind::kCpu, measuring.options, measuring.callbacks);
  EXPECT_TRUE(run.trainer.run());
  EXPECT_THAT(measuring.heard,
              ElementsAre("1", "selection", "1-2: 3 layers, 0.408", "2", "3", "3-4: 3 layers, 0.408", "4"));
  const ScratchFolder folder;
  OwnRun plain(DeviceKind::kCpu);
  EXPECT_TRUE(plain.trainer.run());
  EXPECT_EQ(run.checkpoint(folder / "run"), plain.checkpoint(folder / "plain"));
}

TEST(TrainerMeasuring, TheLengthOfTheMeasuringWindowsMayChange) {
  const ScratchFolder folder;
  for (const std::int64_t before : {0, 3}) {
    MeasuringRun first(before);
    OwnRun run(DeviceKind::kCpu, first.options, first.callbacks);
    EXPECT_TRUE(run.trainer.run(2));  // with 3, inside a window
    run.trainer.save(folder / fmt::format("{}", before));
  }
  const auto heard = [&](std::int64_t before, std::int64_t after) {
    MeasuringRun second(after);
    OwnRun run(DeviceKind::kCpu, second.options, second.callbacks);
    run.trainer.load(folder / fmt::format("{}", before));
    EXPECT_TRUE(run.trainer.run());
    return second.heard;
  };
  EXPECT_THAT(heard(3, 3), ElementsAre("1-3: 3 layers, 0.333", "3", "4-4: 3 layers, 0.577", "4"));
  EXPECT_THAT(heard(3, 1), ElementsAre("1-3: 3 layers, 0.333", "3", "4-4: 3 layers, 0.577", "4"));
  EXPECT_THAT(heard(3, 9), ElementsAre("3", "1-4: 3 layers, 0.289", "4"));
  EXPECT_THAT(heard(3, 0), ElementsAre("3", "4"));
  EXPECT_THAT(heard(0, 2), ElementsAre("3", "3-4: 3 layers, 0.408", "4"));
}

TEST(TrainerMeasuring, AFailedLoadKeepsTheOpenWindow) {
  const ScratchFolder folder;
  MeasuringRun measuring(4);
  OwnRun run(DeviceKind::kCpu, measuring.options, measuring.callbacks);
  EXPECT_TRUE(run.trainer.run(2));
  const auto backend = make_backend(Device{DeviceKind::kCpu});
  const StepState state = make_step_state(*backend, 7);
  Sequential other;
  other.append(std::make_shared<Flatten>());
  other.append(std::make_shared<Linear>(*backend, 3072, 10));
  Trainer another(other, state, small_data(*backend), options_for("1:0.1, 3:0.1:2, 4:0.05"));
  another.save(folder / "another");
  EXPECT_THAT([&] { run.trainer.load(folder / "another"); }, testing::Throws<Error>());
  EXPECT_TRUE(run.trainer.run());
  EXPECT_EQ(measuring.heard[measuring.heard.size() - 2], "1-4: 3 layers, 0.289");
}

// The epoch before has recorded its steps, which do not measure.
TEST_P(TrainerTest, AWindowThatOpensInARunningTrainerMeasures) {
  const ScratchFolder folder;
  std::atomic<bool> stop = false;
  TrainerOptions options = options_for("2:0.1");
  options.batch_size = 8;
  options.stop = &stop;
  {
    TrainerCallbacks callbacks;
    callbacks.on_step = [&](const StepProgress&) { stop = true; };
    OwnRun run(GetParam(), options, callbacks);
    EXPECT_FALSE(run.trainer.run());
    run.trainer.save(folder / "checkpoint");
  }
  stop = false;
  options.optimizer.measure_every = 1;
  std::vector<MeasureSummary> heard;
  TrainerCallbacks callbacks;
  callbacks.on_measure = [&](const MeasureSummary& summary) { heard.push_back(summary); };
  OwnRun run(GetParam(), options, callbacks);
  run.trainer.load(folder / "checkpoint");
  EXPECT_TRUE(run.trainer.run());
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].first_epoch, 2);
  for (const MeasuredLayer& layer : heard[0].layers) EXPECT_GT(layer.g, 0) << layer.name;
}

TEST_P(TrainerTest, ACheckpointThatDoesNotFitChangesNothing) {
  const ScratchFolder folder;
  const auto backend = make_backend(Device{GetParam()});
  const StepState state = make_step_state(*backend, 7);
  Sequential other;  // other sizes than OwnRun's network
  other.append(std::make_shared<Flatten>());
  other.append(std::make_shared<Linear>(*backend, 3072, 10));
  Trainer another(other, state, small_data(*backend), options_for("1:0.1, 3:0.1:2, 4:0.05"));
  EXPECT_TRUE(another.run(1));
  another.save(folder / "another");

  OwnRun unbroken(GetParam());
  EXPECT_TRUE(unbroken.trainer.run());
  StopInEpochTwo stopping;
  OwnRun run(GetParam(), stopping.options, stopping.callbacks);
  EXPECT_FALSE(run.trainer.run());
  EXPECT_THAT([&] { run.trainer.load(folder / "another"); }, testing::Throws<Error>());
  EXPECT_EQ(run.trainer.position().epoch, 2);
  stopping.stop = false;
  EXPECT_TRUE(run.trainer.run());
  EXPECT_EQ(run.checkpoint(folder / "run"), unbroken.checkpoint(folder / "unbroken"));
}

/// At the end of an epoch, before on_epoch, the state is neither that of the last step nor that of the next epoch.
TEST_P(TrainerTest, NothingIsSavedBeforeAnEpochIsOver) {
  const ScratchFolder folder;
  OwnRun* run = nullptr;
  TrainerCallbacks callbacks;
  const auto save = [&](const char* name) { run->trainer.save(folder / name); };
  for (const std::string at : {"selection", "evaluation", "measure"}) {
    callbacks = {};
    if (at == "selection") callbacks.on_selection = [&](const SelectionSummary&) { save("early"); };
    if (at == "evaluation") callbacks.on_evaluation = [&](const StepProgress&) { save("early"); };
    if (at == "measure") callbacks.on_measure = [&](const MeasureSummary&) { save("early"); };
    TrainerOptions options = options_for("1:0.1:2, 2:0.1");
    options.optimizer.measure_every = 1;
    OwnRun early(GetParam(), options, callbacks);
    run = &early;
    EXPECT_THAT([&] { early.trainer.run(); }, ThrowsMessage<Error>(HasSubstr("epoch 1 is not over yet"))) << at;
    EXPECT_THAT([&] { early.trainer.run(); }, ThrowsMessage<Error>(HasSubstr("continue from a checkpoint"))) << at;
    EXPECT_FALSE(exists(folder / "early"));
  }
  callbacks = {};
  callbacks.on_step = [&](const StepProgress& step) {
    if (step.epoch == 2 && step.images == 16) save("step");
  };
  callbacks.on_epoch = [&](const EpochSummary& epoch) {
    if (epoch.epoch == 1) save("epoch");
  };
  OwnRun whole(GetParam(), options_for("1:0.1:2, 2:0.1"), callbacks);
  run = &whole;
  EXPECT_TRUE(whole.trainer.run());
  for (const char* name : {"step", "epoch"}) {
    OwnRun loaded(GetParam(), options_for("1:0.1:2, 2:0.1"));
    loaded.trainer.load(folder / name);
    EXPECT_TRUE(loaded.trainer.run());
    EXPECT_EQ(loaded.checkpoint(folder / "loaded"), whole.checkpoint(folder / "whole")) << name;
  }
}

TEST_P(TrainerTest, ReportsThatNobodyTookAreDroppedWithTheirEpoch) {
  const auto backend = make_backend(Device{GetParam()});
  const StepState state = make_step_state(*backend, 7);
  const auto network = small_network(*backend, state);
  const TrainingData data = small_data(*backend);
  Optimizer optimizer(*network, state, options_for("1:0.1").optimizer);
  TrainingSteps steps(data.train, data.train_gather, 16, state, *network, optimizer);
  steps.begin_epoch(1);
  steps.poll();
  EXPECT_TRUE(steps.next_report(true).has_value());
  steps.poll();
  steps.begin_epoch(1);
  EXPECT_FALSE(steps.next_report(true).has_value());
}

/// The exception that ends the run.
NotFinite not_finite_of(Trainer& trainer) {
  try {
    trainer.run();
  } catch (const NotFinite& error) {
    return error;
  }
  fail("expected NotFinite");
}

TEST_P(TrainerTest, ANumberThatIsNotFiniteEndsTheRun) {
  OwnRun run(GetParam(), options_for("2:1e38"));
  const NotFinite error = not_finite_of(run.trainer);
  EXPECT_EQ(error.epoch(), 1);
  EXPECT_GE(error.step(), 1);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("is not finite in epoch 1, step "), HasSubstr("smaller learning rate")));
  const ScratchFolder folder;
  EXPECT_THAT([&] { run.trainer.save(folder / "bad"); }, testing::ThrowsMessage<Error>(HasSubstr("nothing to save")));
  EXPECT_FALSE(std::filesystem::exists(folder / "bad"));
}

TEST_P(TrainerTest, ATestLossThatIsNotFiniteEndsTheRun) {
  TrainerOptions options = options_for("2:1e30");
  options.batch_size = 40;  // one step, whose own loss and gradients are finite
  bool reported = false;
  TrainerCallbacks callbacks;
  callbacks.on_epoch = [&](const EpochSummary&) { reported = true; };
  OwnRun run(GetParam(), options, callbacks);
  const NotFinite error = not_finite_of(run.trainer);
  EXPECT_EQ(error.epoch(), 1);
  EXPECT_EQ(error.step(), 0);
  EXPECT_THAT(error.what(), HasSubstr("the loss on the test images is not finite in epoch 1"));
  EXPECT_FALSE(reported);
}

TEST_P(TrainerTest, AStateThatIsNotFiniteIsNotSaved) {
  const ScratchFolder folder;
  OwnRun run(GetParam());
  EXPECT_TRUE(run.trainer.run(1));
  const std::string good = run.checkpoint(folder / "run");
  const NamedParameter parameter = run.network->named_parameters().front();
  parameter.variable.value().copy_from_host(
      std::span<const float>(std::vector<float>(static_cast<std::size_t>(parameter.variable.value().count()), NAN)));
  EXPECT_THAT([&] { run.trainer.save(folder / "run"); },
              testing::ThrowsMessage<NotFinite>(HasSubstr("element 0 of '" + parameter.name + "' is not finite")));
  EXPECT_EQ(text_of(folder / "run"), good);
  EXPECT_THAT([&] { run.trainer.save(folder / "run"); }, testing::ThrowsMessage<Error>(HasSubstr("nothing to save")));
  run.trainer.load(folder / "run");
  run.trainer.save(folder / "again");
  EXPECT_EQ(text_of(folder / "again"), good);
}

/// Copies `from` with another numerics version; "": without one, as in files of release 0.1.0.
void rewrite_numerics(const std::filesystem::path& from, const std::filesystem::path& to, const std::string& numerics) {
  const TensorFile file = read_safetensors(from);
  std::map<std::string, std::string> metadata = file.metadata();
  metadata.erase("numerics");
  if (!numerics.empty()) metadata["numerics"] = numerics;
  write_safetensors(to, file.tensors(), metadata, Keep::kNothing);
}

TEST_P(TrainerTest, ACheckpointOfOtherNumericsIsRefusedWithTheReleaseToUse) {
  const ScratchFolder folder;
  OwnRun run(GetParam());
  run.trainer.save(folder / "ours");
  const std::string device = to_string(Device{GetParam()});
  rewrite_numerics(folder / "ours", folder / "before", "");
  rewrite_numerics(folder / "ours", folder / "later", device + " 7");
  rewrite_numerics(folder / "ours", folder / "another device", "cuda 7");
  OwnRun again(GetParam());
  again.trainer.load(folder / "ours");
  again.trainer.load(folder / "another device");
  EXPECT_THAT([&] { again.trainer.load(folder / "before"); },
              testing::ThrowsMessage<Error>(AllOf(HasSubstr("before has numerics version 1 of the device " + device),
                                                  HasSubstr("resume it with release 0.1.0"))));
  EXPECT_THAT([&] { again.trainer.load(folder / "later"); },
              testing::ThrowsMessage<Error>(AllOf(HasSubstr("has numerics version 7 of the device " + device),
                                                  HasSubstr("with the release that began it"))));
}

TEST_P(TrainerTest, ACheckpointOfOtherOptionsIsRefused) {
  const ScratchFolder folder;
  OwnRun run(GetParam());
  run.trainer.save(folder / "begun");
  TrainerOptions other = options_for("1:0.1, 3:0.1:2, 4:0.05");
  other.batch_size = 8;
  OwnRun another(GetParam(), other);
  EXPECT_THAT([&] { another.trainer.load(folder / "begun"); },
              testing::ThrowsMessage<Error>(
                  EndsWith("begun was saved with other settings: expected batch_size 16, got batch_size 8; give the "
                           "Trainer the settings of the checkpoint, or begin a new run")));
  other.batch_size = 16;
  other.optimizer.sgd.momentum = 0.5f;
  other.optimizer.placement = Placement::kBackprop;
  OwnRun third(GetParam(), other);
  EXPECT_THAT([&] { third.trainer.load(folder / "begun"); },
              testing::ThrowsMessage<Error>(HasSubstr("expected momentum 0.9, placement update, got momentum 0.5, "
                                                      "placement backprop; ")));
  other.settings = "mine";
  OwnRun own(GetParam(), other);
  EXPECT_THAT([&] { own.trainer.load(folder / "begun"); },
              testing::ThrowsMessage<Error>(HasSubstr("}', got 'mine'; ")));
}

TEST_P(TrainerTest, TheDeviceIsCheckedFirst) {
  const auto backend = make_backend(Device{GetParam()});
  const StepState state = make_step_state(*backend, 7);
  const auto network = small_network(*backend, state);
  TrainerOptions options = options_for("1:0.1");
  int checks = 0;
  options.check_device = [&](const Backend& checked) {
    EXPECT_EQ(&checked, backend.get());
    if (++checks == 1) fail("it adds wrongly");
  };
  EXPECT_THAT([&] { Trainer(*network, state, small_data(*backend), options); },
              testing::ThrowsMessage<Error>(HasSubstr("it adds wrongly")));
  Trainer trainer(*network, state, small_data(*backend), options);  // the network was left as it was
  EXPECT_EQ(checks, 2);
}

INSTANTIATE_TEST_SUITE_P(Devices, TrainerTest, testing::Values(DeviceKind::kCpu, DeviceKind::kEmulated),
                         [](const auto& row) { return to_string(Device{row.param}); });

TEST(TrainerThreads, TwoTrainersOnTwoBackendsOfTheCpuRunAtOnce) {
  const ScratchFolder folder;
  OwnRun alone(DeviceKind::kCpu);
  alone.trainer.run();
  const std::string expected = alone.checkpoint(folder / "alone");
  for (int repetition = 0; repetition < 5; ++repetition) {
    std::string checkpoints[4];
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        OwnRun run(DeviceKind::kCpu);
        run.trainer.run();
        checkpoints[i] = run.checkpoint(folder / std::to_string(i));
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::string& checkpoint : checkpoints) EXPECT_TRUE(checkpoint == expected);
  }
}

TEST(TrainerThreads, AnotherThreadMayStopARun) {
  const ScratchFolder folder;
  OwnRun unbroken(DeviceKind::kCpu);
  EXPECT_TRUE(unbroken.trainer.run());
  std::atomic<bool> stop = false, stepped = false;
  TrainerOptions options = options_for("1:0.1, 3:0.1:2, 4:0.05");
  options.stop = &stop;
  TrainerCallbacks callbacks;
  callbacks.on_step = [&](const StepProgress&) {
    stepped = true;
    while (!stop) std::this_thread::yield();  // so that the run does not end before it is stopped
  };
  std::thread stopper([&] {
    while (!stepped) std::this_thread::yield();
    stop = true;
  });
  OwnRun stopped(DeviceKind::kCpu, options, callbacks);
  EXPECT_FALSE(stopped.trainer.run());
  stopper.join();
  EXPECT_EQ(stopped.trainer.position().epoch, 1);
  stop = false;
  stopped.trainer.save(folder / "stopped");
  OwnRun resumed(DeviceKind::kCpu);
  resumed.trainer.load(folder / "stopped");
  EXPECT_TRUE(resumed.trainer.run());
  EXPECT_EQ(resumed.checkpoint(folder / "resumed"), unbroken.checkpoint(folder / "unbroken"));
}

/// A trainer may be handed to another thread between two calls.
TEST(TrainerThreads, AnotherThreadMayContinue) {
  const ScratchFolder folder;
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kEmulated}) {
    OwnRun here(kind), there(kind);
    here.trainer.run();
    there.trainer.run(2);
    std::thread([&] { there.trainer.run(); }).join();
    EXPECT_EQ(there.checkpoint(folder / "there"), here.checkpoint(folder / "here"));
  }
}

TEST(TrainerTest, EverythingIsOnOneDevice) {
  const auto cpu = make_backend(Device{DeviceKind::kCpu}), emulated = make_backend(Device{DeviceKind::kEmulated});
  const StepState state = make_step_state(*cpu, 1);
  const auto network = small_network(*cpu, state);
  EXPECT_THAT([&] { Trainer(*network, state, small_data(*emulated), options_for("1:0.1")); },
              testing::ThrowsMessage<Error>(HasSubstr("on one device, got several")));
}

TEST(TrainerTest, ANetworkHasAnOutputForEachClass) {
  const auto backend = make_backend({});
  const StepState state = make_step_state(*backend, 1);
  Sequential network;
  network.append(std::make_shared<Flatten>());
  network.append(std::make_shared<Linear>(*backend, 3072, 7));
  Trainer trainer(network, state, small_data(*backend), options_for("1:0.1"));
  EXPECT_THAT([&] { trainer.run(); }, testing::ThrowsMessage<Error>(
                                          HasSubstr("expected logits of shape [16, 10] from the network, for 16 images "
                                                    "of 10 classes, got [16, 7]")));
  EXPECT_THAT([&] { trainer.evaluate(); }, testing::ThrowsMessage<Error>(HasSubstr("got [20, 7]")));
}

TEST(TrainerTest, OptionsOutOfRangeAreRefused) {
  for (const auto& [name, change] : std::vector<std::pair<const char*, void (*)(TrainerOptions&)>>{
           {"expected steps of 1 or more images, got 0", [](TrainerOptions& options) { options.batch_size = 0; }},
           {"expected 1 or more images evaluated at once, got 0",
            [](TrainerOptions& options) { options.evaluation_batch = 0; }}}) {
    TrainerOptions options = options_for("1:0.1");
    change(options);
    EXPECT_THAT([&] { OwnRun(DeviceKind::kCpu, options); }, testing::ThrowsMessage<Error>(HasSubstr(name)));
  }
}

TEST(UploadTrainingData, BadLabelsAndOtherClassesAreRefused) {
  const auto backend = make_backend({});
  const Dataset train = make_synthetic_dataset(1, "train", 20);
  Dataset bad = train, other = train;
  bad.labels[3] = 10;
  EXPECT_THAT([&] { upload(*backend, bad); }, testing::ThrowsMessage<Error>(HasSubstr("10")));
  other.classes = 11;
  other.class_names.push_back("eleventh");
  EXPECT_THAT([&] { upload_training_data(*backend, train, other); },
              testing::ThrowsMessage<Error>(HasSubstr("of the 10 classes of the train images, got 11")));
}

}  // namespace
}  // namespace gradamp
