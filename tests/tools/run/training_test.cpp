// SPDX-License-Identifier: MIT
// Tests of whole runs: the same seed gives the same bits, a run that is interrupted anywhere and resumed equals an
// uninterrupted run, and a valid file is never overwritten by an invalid one.
//
// Every run has its own child process, which can be killed.
#include <cmath>
#include <functional>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gradamp/data/cifar/cifar.h"
#include "gradamp/data/files/safetensors.h"
#include "gradamp/data/synthetic.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Training, SameSeedGivesSameBits) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "a")), 0);
  ASSERT_EQ(train_in_child(small_run(folder / "b")), 0);
  expect_equal_runs(folder / "b", folder / "a", kEpochs);
  RunSettings other = small_run(folder / "c");
  other.seed = 2;
  ASSERT_EQ(train_in_child(other), 0);
  EXPECT_FALSE(checkpoint_of(folder / "c") == checkpoint_of(folder / "a"));
}

/// Interrupts runs with `break_off` after different numbers of steps, resumes them, and compares them with an
/// uninterrupted run.
void expect_resumable(const std::function<RunSettings(const fs::path&)>& make_settings,
                      const std::function<void(const RunSettings&, int step)>& break_off) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(make_settings(folder / "unbroken")), 0);
  // Steps in the first epoch, at ends of epochs, in the analyzed and the amplified epoch, and the last step.
  for (const int step : {1, kStepsPerEpoch, 6, 7, 2 * kStepsPerEpoch, 10, 13, kEpochs * kStepsPerEpoch}) {
    SCOPED_TRACE(testing::Message() << "broken off after step " << step);
    const fs::path run = folder / ("broken-" + std::to_string(step));
    break_off(make_settings(run), step);
    ASSERT_EQ(resume_in_child(run), 0);
    expect_equal_runs(run, folder / "unbroken", kEpochs);
  }
}

void kill_after(const RunSettings& settings, int step) {
  ASSERT_EQ(in_child([&] {
              ActAtStep observer(step, [] { ::kill(::getpid(), SIGKILL); });
              train(settings, {nullptr, &observer, nullptr});
            }),
            -SIGKILL);
}

TEST(Training, StoppedAndResumedEqualsUnbroken) { expect_resumable(small_run, stop_after); }

/// Windows of three epochs: the first is open beside the analyzed epoch, the second ends with the run.
RunSettings measured_run(const fs::path& run) {
  RunSettings settings = small_run(run);
  settings.measure_every = 3;
  return settings;
}

TEST(Training, KilledAndResumedEqualsUnbroken) { expect_resumable(measured_run, kill_after); }

/// Settings of the recipe reach the training, and only the training.
TEST(Training, LabelSmoothingAndCutoutChangeTheTrainingAlone) {
  const ScratchFolder folder;
  const auto first_epoch = [&](const char* name, double smoothing, int cutout) {
    RunSettings settings = small_run(folder / name);
    settings.strategy = "1:1e-9";  // the weights stay nearly as they are
    settings.label_smoothing = smoothing;
    settings.cutout = cutout;
    settings.augment = false;
    settings.dropout = 0;
    EXPECT_EQ(train_in_child(settings), 0);
    return lines_of(folder / name / "metrics.jsonl").at(0);
  };
  const nlohmann::json plain = first_epoch("plain", 0, 0), smoothed = first_epoch("smoothed", 0.2, 0);
  const nlohmann::json cut = first_epoch("cut", 0, 20);
  const auto loss = [](const nlohmann::json& line, const char* of) { return line.at(of).get<double>(); };
  EXPECT_GT(std::abs(loss(smoothed, "train_loss") - loss(plain, "train_loss")), 1e-4);
  EXPECT_GT(std::abs(loss(cut, "train_loss") - loss(plain, "train_loss")), 1e-4);
  EXPECT_NEAR(loss(smoothed, "test_loss"), loss(plain, "test_loss"), 1e-6);
}

TEST(Training, LabelSmoothingAndCutoutAreResumable) {
  const ScratchFolder folder;
  const auto settings_of = [&](const char* name) {
    RunSettings settings = small_run(folder / name);
    settings.label_smoothing = 0.1;
    settings.cutout = 8;
    return settings;
  };
  ASSERT_EQ(train_in_child(settings_of("unbroken")), 0);
  stop_after(settings_of("broken"), 6);
  ASSERT_EQ(resume_in_child(folder / "broken"), 0);
  expect_equal_runs(folder / "broken", folder / "unbroken", kEpochs);
}

TEST(Training, Bf16IsResumable) {
  expect_resumable(
      [](const fs::path& run) {
        RunSettings settings = small_run(run);
        settings.precision = Precision::kBF16;
        return settings;
      },
      stop_after);
}

TEST(Training, RandomSelectionIsResumable) {
  expect_resumable(
      [](const fs::path& run) {
        RunSettings settings = small_run(run);
        settings.selection = SelectionMethod::kRandom;
        return settings;
      },
      stop_after);
}

TEST(Training, BackpropPlacementByNeuronWithReselectionIsResumable) {
  expect_resumable(
      [](const fs::path& run) {
        RunSettings settings = small_run(run);
        settings.strategy = "1:0.05, 4:0.05:2";
        settings.reselect_every = 1;
        settings.placement = Placement::kBackprop;
        settings.granularity = Granularity::kNeuron;
        settings.nesterov = true;
        return settings;
      },
      stop_after);
}

TEST(Training, StoppedTwiceInOneEpochEqualsUnbroken) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "unbroken")), 0);
  const fs::path run = folder / "broken";
  stop_after(small_run(run), 5);
  ASSERT_EQ(in_child([&] {
              std::atomic<bool> stop = false;
              ActAtStep observer(1, [&] { stop = true; });
              check(!resume(run, {&stop, &observer, nullptr}).completed, "expected to be interrupted");
            }),
            0);
  ASSERT_EQ(resume_in_child(run), 0);
  expect_equal_runs(run, folder / "unbroken", kEpochs);
}

// For many calls to the file system: a run dies at the call, or halfway through a write, and is resumed.
TEST(Training, KilledAtAnyFileSystemCallAndResumedEqualsUnbroken) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "unbroken")), 0);
  int killed = 0;
  const auto survives = [&](Fault fault, int at) {
    SCOPED_TRACE(testing::Message() << name_of(fault) << " at call " << at);
    const fs::path run = folder / "broken";
    fs::remove_all(run);
    const int code = in_child([&] {
      FailingFileSystem failing(fault, at);
      train(small_run(run), {nullptr, nullptr, &failing});
    });
    killed += code == FailingFileSystem::kExitCode ? 1 : 0;
    const bool begun = fs::exists(run / "config.json");
    EXPECT_EQ(begun ? resume_in_child(run) : train_in_child(small_run(run)), 0);
    expect_equal_runs(run, folder / "unbroken", kEpochs);
    return code == 0;
  };
  for (int at = 1; !survives(Fault::kExit, at); at += 41) survives(Fault::kExitMidWrite, at + 20);
  EXPECT_GT(killed, 8);
}

// Calls to the file system during the second epoch fail, one per run and with every kind of fault. After each failure
// there is a checkpoint that loads.
TEST(Training, AfterAnyFailureACheckpointLoads) {
  const ScratchFolder folder;
  const fs::path begun = folder / "begun";
  stop_after(small_run(begun), kStepsPerEpoch + 3);
  ASSERT_EQ(train_in_child(small_run(folder / "unbroken")), 0);
  for (const Fault fault : {Fault::kNoSpace, Fault::kIoError, Fault::kShortWrite}) {
    for (int at = 3; at < 40; at += 4) {
      SCOPED_TRACE(testing::Message() << name_of(fault) << " at call " << at);
      const fs::path run = folder / "run";
      fs::remove_all(run);
      fs::copy(begun, run);
      in_child([&] {
        std::atomic<bool> stop = false;
        ActAtStep observer(3, [&] { stop = true; });
        FailingFileSystem failing(fault, at);
        resume(run, {&stop, &observer, &failing});
      });
      EXPECT_NO_THROW(read_safetensors(run / "checkpoint.safetensors"));
    }
  }
  ASSERT_EQ(resume_in_child(folder / "run"), 0);
  expect_equal_runs(folder / "run", folder / "unbroken", kEpochs);
}

// ---- Branches ----

/// Two plain epochs, and two further epochs that depend on the selection.
RunSettings branching_run(const fs::path& folder) {
  RunSettings settings = measured_run(folder);
  settings.strategy = "2:0.05, 4:0.05:2";
  return settings;
}

void train_trunk(const fs::path& folder, int epochs, std::int64_t measure_every = 3) {
  RunSettings settings = branching_run(folder);
  settings.measure_every = measure_every;
  settings.selection = SelectionMethod::kNone;
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.last_epoch = epochs;
              const TrainingOutcome outcome = train(settings, control);
              check(!outcome.completed && outcome.last.epoch == epochs, "expected to end after {} epochs", epochs);
            }),
            0);
}

TEST(Training, ABranchEqualsTheRunTrainedAlone) {
  const ScratchFolder folder;
  train_trunk(folder / "trunk", 2);
  train_trunk(folder / "trunk-0", 2, 0);
  train_trunk(folder / "trunk-1", 2, 1);
  const auto expect_same = [&](const char* name, const std::function<void(RunSettings&)>& change) {
    SCOPED_TRACE(name);
    RunSettings alone = branching_run(folder / name);
    change(alone);
    RunSettings branched = alone;
    branched.run_folder += "-branched";
    ASSERT_EQ(train_in_child(alone), 0);
    const fs::path trunk = folder / (alone.measure_every == 3 ? "trunk" : fmt::format("trunk-{}", alone.measure_every));
    ASSERT_EQ(in_child([&] { check(branch(branched, trunk, {}).completed, "expected a whole run"); }), 0);
    expect_equal_runs(branched.run_folder, alone.run_folder, kEpochs);
  };
  expect_same("measured", [](RunSettings&) {});
  expect_same("original", [](RunSettings& settings) { settings.selection = SelectionMethod::kNone; });
  expect_same("random", [](RunSettings& settings) { settings.selection = SelectionMethod::kRandom; });
  expect_same("backprop", [](RunSettings& settings) {
    settings.selection = SelectionMethod::kRandom;
    settings.placement = Placement::kBackprop;
    settings.random_types = {LayerType::kConv, LayerType::kRelu};
  });
  expect_same("by-neuron", [](RunSettings& settings) {
    settings.measure = kG;
    settings.selection_case = SelectionCase::kTwoSided;
    settings.granularity = Granularity::kNeuron;
    settings.strategy = "2:0.05, 4:0.05:3";
    settings.measure_every = 0;
  });
  expect_same("every-epoch", [](RunSettings& settings) { settings.measure_every = 1; });
}

TEST(Training, ABranchKilledAtAnyFileSystemCallAndResumedEqualsTheRunTrainedAlone) {
  const ScratchFolder folder;
  train_trunk(folder / "trunk", 1);
  ASSERT_EQ(train_in_child(branching_run(folder / "alone")), 0);
  int killed = 0;
  for (int at = 1, code = 1; code != 0; at += 37) {
    SCOPED_TRACE(testing::Message() << "killed at call " << at);
    const fs::path run = folder / "branch";
    fs::remove_all(run);
    const auto begin = [&](FileSystem* file_system) {
      branch(branching_run(run), folder / "trunk", {nullptr, nullptr, file_system});
    };
    code = in_child([&] {
      FailingFileSystem failing(Fault::kExit, at);
      begin(&failing);
    });
    killed += code == FailingFileSystem::kExitCode ? 1 : 0;
    const bool begun = fs::exists(run / "config.json");
    EXPECT_EQ(begun ? resume_in_child(run) : in_child([&] { begin(nullptr); }), 0);
    expect_equal_runs(run, folder / "alone", kEpochs);
  }
  EXPECT_GT(killed, 2);
}

TEST(Training, ABranchOfARunThatIsNotItsBeginningIsRefused) {
  const ScratchFolder folder;
  train_trunk(folder / "trunk", 2);
  const auto message = [&](const std::function<void(RunSettings&)>& change) {
    RunSettings settings = branching_run(folder / "branch");
    change(settings);
    std::string text = error_in_child(folder.path(), [&] { branch(settings, folder / "trunk", {}); });
    EXPECT_FALSE(fs::exists(folder / "branch"));
    return text;
  };
  EXPECT_THAT(message([](RunSettings& settings) { settings.seed = 2; }),
              HasSubstr("no epoch in common with this one: expected --seed 1, got --seed 2; only schedule and"));
  EXPECT_THAT(message([](RunSettings& settings) { settings.batch_size = 15; }),
              HasSubstr("expected --batch-size 16, got --batch-size 15; only"));
  EXPECT_THAT(message([](RunSettings& settings) { settings.measure_every = 2; }),
              HasSubstr("expected --measure-every 3, got --measure-every 2; only"));
  EXPECT_THAT(
      message([](RunSettings& settings) { settings.strategy = "2:0.1, 4:0.05:2"; }),
      AllOf(HasSubstr("no epoch in common"), HasSubstr("; the learning rate of the first epoch must be equal")));
  EXPECT_THAT(message([](RunSettings& settings) { settings.strategy = "1:0.05, 4:0.05:2"; }),
              AllOf(HasSubstr("only the first in common with this one: expected --strategy 2:0.05, 4:0.05:2, "),
                    HasSubstr("got --strategy 1:0.05, 4:0.05:2"), HasSubstr("ended with --until 1")));
  fs::remove(folder / "trunk/checkpoint.safetensors");
  fs::remove(folder / "trunk/checkpoint.safetensors.previous");
  EXPECT_THAT(message([](RunSettings&) {}), HasSubstr("no checkpoint"));
}

TEST(Training, ABranchWithEqualSettingsIsRefusedIfItsRunHasMeasured) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(branching_run(folder / "trunk")), 0);
  const std::string text =
      error_in_child(folder.path(), [&] { branch(branching_run(folder / "branch"), folder / "trunk", {}); });
  EXPECT_THAT(text, HasSubstr("the settings are equal, but both runs measure or amplify from epoch 3 on; branch from"));
}

// Release 0.1 called the synthetic dataset "made", in config.json and in checkpoints.
TEST(Training, ARunThatStoredTheDatasetsEarlierNameIsBranchedAndResumed) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "unbroken")), 0);
  RunSettings settings = small_run(folder / "earlier");
  settings.dataset = "made";
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.last_epoch = 1;
              train(settings, control);
            }),
            0);
  ASSERT_THAT(text_of(folder / "earlier/config.json"), HasSubstr("\"dataset\": \"made\""));
  ASSERT_EQ(in_child([&] { branch(small_run(folder / "branched"), folder / "earlier", {}); }), 0);
  expect_equal_runs(folder / "branched", folder / "unbroken", kEpochs);
  ASSERT_EQ(resume_in_child(folder / "earlier"), 0);
  EXPECT_EQ(lines_of(folder / "earlier/metrics.jsonl"), lines_of(folder / "unbroken/metrics.jsonl"));
}

TEST(Training, NonFiniteLossStopsAndKeepsTheCheckpoint) {
  const ScratchFolder folder;
  RunSettings settings = small_run(folder / "good");
  settings.strategy = "1:0.05";
  ASSERT_EQ(train_in_child(settings), 0);
  const TensorFile good = read_safetensors(folder / "good/checkpoint.safetensors");

  settings.run_folder = (folder / "run").string();
  settings.strategy = "1:0.05, 3:1e30";
  const std::string message = error_in_child(folder.path(), [&] { train(settings, {}); });
  EXPECT_THAT(message, HasSubstr("epoch 2"));
  EXPECT_THAT(message, HasSubstr("step "));
  EXPECT_THAT(message, HasSubstr((folder / "run/checkpoint.safetensors").string()));
  const TensorFile kept = read_safetensors(folder / "run/checkpoint.safetensors");
  EXPECT_EQ(kept.metadata().at("epoch"), "1");
  for (const TensorView& tensor : good.tensors()) {
    const TensorView* other = kept.find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, other->bytes)) << tensor.name;
  }
}

/// A small CIFAR-10 in `folder`; `seed` determines its images.
void make_cifar10(const fs::path& folder, std::uint64_t seed) {
  fs::create_directories(folder);
  write_cifar10_layout(folder, make_synthetic_dataset(seed, "train", 60), make_synthetic_dataset(seed, "test", 20));
}

RunSettings run_on_cifar10(const fs::path& folder, const fs::path& data) {
  RunSettings settings = small_run(folder);
  settings.dataset = "cifar10";
  settings.data = data.string();
  settings.partial_data = true;
  settings.train_images = settings.test_images = 0;
  return settings;
}

TrainingControl with_data(const fs::path& data) {
  TrainingControl control;
  control.data = data.string();
  return control;
}

TEST(Training, TheDataMayMove) {
  const ScratchFolder folder;
  make_cifar10(folder / "old", 1);
  ASSERT_EQ(train_in_child(run_on_cifar10(folder / "unbroken", folder / "old")), 0);
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.last_epoch = 1;
              train(run_on_cifar10(folder / "run", folder / "old"), control);
            }),
            0);
  fs::copy(folder / "run", folder / "trunk");
  fs::rename(folder / "old", folder / "new");
  EXPECT_THAT(error_in_child(folder.path(), [&] { resume(folder / "run", {}); }), HasSubstr("no such folder"));
  ASSERT_EQ(in_child([&] { resume(folder / "run", with_data(folder / "new")); }), 0);
  EXPECT_EQ(lines_of(folder / "run/metrics.jsonl"), lines_of(folder / "unbroken/metrics.jsonl"));
  EXPECT_THAT(text_of(folder / "run/config.json"), HasSubstr((folder / "new").string()));
  ASSERT_EQ(resume_in_child(folder / "run"), 0);

  ASSERT_EQ(in_child([&] { branch(run_on_cifar10(folder / "branch", folder / "new"), folder / "trunk", {}); }), 0);
  EXPECT_EQ(lines_of(folder / "branch/metrics.jsonl"), lines_of(folder / "unbroken/metrics.jsonl"));
}

TEST(Training, OtherImagesAreRefused) {
  const ScratchFolder folder;
  make_cifar10(folder / "data", 1);
  make_cifar10(folder / "other", 2);
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.last_epoch = 1;
              train(run_on_cifar10(folder / "run", folder / "data"), control);
            }),
            0);
  const std::string before = text_of(folder / "run/config.json");
  const auto refuses = AllOf(HasSubstr("has other images or labels than those of"), HasSubstr("--data"));
  EXPECT_THAT(error_in_child(folder.path(), [&] { resume(folder / "run", with_data(folder / "other")); }), refuses);
  EXPECT_EQ(text_of(folder / "run/config.json"), before);
  EXPECT_THAT(error_in_child(folder.path(),
                             [&] { branch(run_on_cifar10(folder / "b", folder / "other"), folder / "run", {}); }),
              refuses);
  EXPECT_FALSE(fs::exists(folder / "b"));
  fs::rename(folder / "data", folder / "original");
  fs::rename(folder / "other", folder / "data");  // other images in the same place
  EXPECT_THAT(error_in_child(folder.path(), [&] { resume(folder / "run", {}); }), refuses);
}

TEST(Training, BadDataTrainsNothing) {
  const ScratchFolder folder;
  put_text(folder / "train.bin", "short");
  RunSettings settings = small_run(folder / "run");
  settings.dataset = "cifar100";
  settings.data = folder.path().string();
  EXPECT_THAT(error_in_child(folder.path(), [&] { train(settings, {}); }), HasSubstr("fine_label_names.txt: missing"));
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(Training, ADamagedCheckpointIsRefusedAndThePreviousNamed) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  ASSERT_EQ(train_in_child(small_run(run)), 0);
  std::string bytes = checkpoint_of(run);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  put_text(run / "checkpoint.safetensors", bytes);
  const std::string message = error_in_child(folder.path(), [&] { resume(run, {}); });
  EXPECT_THAT(message, HasSubstr((run / "checkpoint.safetensors").string()));
  EXPECT_THAT(message, HasSubstr("checkpoint.safetensors.previous"));
}

/// Applies `change` to a run's config.json.
void edit_config(const fs::path& run, const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json config = nlohmann::json::parse(text_of(run / "config.json"));
  change(config);
  put_text(run / "config.json", config.dump());
}

/// Removes the settings that the first release did not have.
void erase_later(nlohmann::json& settings) {
  for (const Setting& setting : setting_table())
    if (setting.since != kFirstRelease) settings.erase(setting.json_key());
}

TEST(Training, ARunOfAnEarlierReleaseIsResumed) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "unbroken")), 0);
  stop_after(small_run(folder / "run"), kStepsPerEpoch + 1);
  edit_config(folder / "run", [](nlohmann::json& config) {
    config.erase("kinds");
    erase_later(config["settings"]);
  });
  const fs::path checkpoint = folder / "run/checkpoint.safetensors";
  const TensorFile file = read_safetensors(checkpoint);
  std::map<std::string, std::string> metadata = file.metadata();
  nlohmann::json settings = nlohmann::json::parse(metadata.at("settings"));
  erase_later(settings);
  metadata["settings"] = settings.dump();
  write_safetensors(checkpoint, file.tensors(), metadata, Keep::kNothing);
  ASSERT_EQ(resume_in_child(folder / "run"), 0);
  expect_equal_runs(folder / "run", folder / "unbroken", kEpochs);
}

/// Rewrites the lines of a log as schema 1 had them: a number that is not finite is a string.
void write_lines_of_schema_1(const fs::path& path) {
  std::istringstream lines(text_of(path));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    const std::string schema = "{\"schema\":2,";
    ASSERT_TRUE(line.starts_with(schema));
    text += "{\"schema\":1," + line.substr(schema.size()) + "\n";
  }
  const std::size_t rate = text.find("\"images_per_second\":");
  if (rate != text.npos) text.replace(rate, text.find('}', rate) - rate, "\"images_per_second\":\"inf\"");
  put_text(path, text);
}

TEST(Training, ARunOfSchema1IsResumed) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "unbroken")), 0);
  const fs::path run = folder / "run";
  stop_after(small_run(run), 2 * kStepsPerEpoch + 1);  // after the selection
  edit_config(run, [](nlohmann::json& config) { config["schema"] = 1; });
  for (const char* name : {"metrics.jsonl", "layers.jsonl"}) write_lines_of_schema_1(run / name);
  const std::string before = text_of(run / "metrics.jsonl");
  ASSERT_THAT(before, HasSubstr("\"images_per_second\":\"inf\""));
  ASSERT_EQ(resume_in_child(run), 0);
  EXPECT_TRUE(checkpoint_of(run) == checkpoint_of(folder / "unbroken")) << "the checkpoints differ";
  EXPECT_THAT(text_of(run / "metrics.jsonl"), testing::StartsWith(before + "{\"schema\":2,"));
  for (const char* name : {"metrics.jsonl", "layers.jsonl"}) {
    std::vector<nlohmann::json> lines = lines_of(run / name), expected = lines_of(folder / "unbroken" / name);
    for (std::vector<nlohmann::json>* each : {&lines, &expected})
      for (nlohmann::json& line : *each) line.erase("schema");
    EXPECT_EQ(lines, expected) << name;
  }
}

TEST(Training, ARunWhoseSettingsWereEditedIsRefusedWithTheirNames) {
  const ScratchFolder folder;
  stop_after(small_run(folder / "run"), kStepsPerEpoch + 1);
  edit_config(folder / "run", [](nlohmann::json& config) {
    config["settings"]["seed"] = 3;
    config["settings"]["nesterov"] = true;
  });
  EXPECT_THAT(error_in_child(folder.path(), [&] { resume(folder / "run", {}); }),
              HasSubstr("checkpoint.safetensors was saved with other settings than its run's config.json has: expected "
                        "--no-nesterov, --seed 1, got --nesterov, --seed 3; restore that config.json"));
}

TEST(Training, AFolderWithARunIsNotOverwritten) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "run")), 0);
  const std::string before = checkpoint_of(folder / "run");
  EXPECT_THAT(error_in_child(folder.path(), [&] { train(small_run(folder / "run"), {}); }), HasSubstr("--resume"));
  EXPECT_TRUE(checkpoint_of(folder / "run") == before);
}

TEST(Training, AFinishedRunGivesItsOutcomeAgain) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  EXPECT_EQ(in_child([&] {
              const TrainingOutcome first = train(small_run(run), {});
              const TrainingOutcome second = resume(run, {});
              check(first.completed && second.completed, "expected completed runs");
              check(first.best_accuracy == second.best_accuracy && first.last.test_loss == second.last.test_loss,
                    "expected the same outcome");
              const Evaluation evaluation = evaluate(small_run(run), run / "checkpoint.safetensors").test;
              check(evaluation.accuracy == first.last.test_accuracy && evaluation.loss == first.last.test_loss,
                    "expected the logged accuracy from evaluate, got {}", evaluation.accuracy);
            }),
            0);
}

/// The warnings with which a run begins. It is stopped before its first step.
std::string warnings_of(const ScratchFolder& folder, const RunSettings& settings) {
  class Warnings : public TrainingObserver {
   public:
    void on_start(const std::vector<std::string>& description) override {
      for (const std::string& line : description) text += line.starts_with("warning") ? line + "\n" : "";
    }
    std::string text;
  };
  EXPECT_EQ(in_child([&] {
              Warnings warnings;
              std::atomic<bool> stop = true;
              train(settings, {&stop, &warnings, nullptr});
              put_text(folder / "warnings", warnings.text);
            }),
            0);
  return text_of(folder / "warnings");
}

// If a phase has only the analyzed epoch, or an epoch has only one step, the user probably made a mistake.
TEST(Training, StrategiesThatAmplifyNothingAreWarnedOf) {
  const ScratchFolder folder;
  EXPECT_EQ(warnings_of(folder, small_run(folder / "good")), "");
  RunSettings short_phase = small_run(folder / "short");
  short_phase.strategy = "1:0.05, 2:0.05:2, 4:0.01";
  EXPECT_THAT(warnings_of(folder, short_phase), AllOf(HasSubstr("the phase of epoch 2 amplifies nothing"),
                                                      testing::Not(HasSubstr("would give"))));  // it has 4 epochs
  RunSettings short_run = small_run(folder / "short run");
  short_run.strategy = "1:0.05, 2:0.05:2";
  EXPECT_THAT(warnings_of(folder, short_run), HasSubstr("; 3 epochs would give it one"));
  short_phase.run_folder += "-random";
  short_phase.selection = SelectionMethod::kRandom;
  EXPECT_EQ(warnings_of(folder, short_phase), "");
  RunSettings single_step = small_run(folder / "single");
  single_step.batch_size = 60;
  EXPECT_THAT(warnings_of(folder, single_step), HasSubstr("a single step"));
}

TEST(Training, AnAdamWThatDoesNotFitIsWarnedOf) {
  const ScratchFolder folder;
  RunSettings settings = small_run(folder / "good");
  settings.update_rule = UpdateRule::kAdamW;
  settings.strategy = "2:0.001, 4:0.02:2";
  EXPECT_EQ(warnings_of(folder, settings), "");
  settings.run_folder = folder / "fast";
  settings.strategy = "2:0.001, 4:0.03:2";
  EXPECT_THAT(warnings_of(folder, settings), HasSubstr("the learning rate 0.03 is large for --optimizer adamw"));
  settings.run_folder = folder / "cosine";
  settings.schedule = Schedule::kCosine;  // whose peak is used in place of the phases' rates
  settings.learning_rate = 0.01;
  EXPECT_EQ(warnings_of(folder, settings), "");
  settings.run_folder = folder / "backprop";
  settings.placement = Placement::kBackprop;
  EXPECT_THAT(warnings_of(folder, settings), HasSubstr("--placement backprop changes almost nothing"));
}

// The selection in layers.jsonl follows from the values there ([IGA] 3.6), and amplification changes the run.
TEST(Training, LogsTellOfTheSelection) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "amplified")), 0);
  const std::vector<nlohmann::json> layers = lines_of(folder / "amplified/layers.jsonl");
  ASSERT_EQ(layers.size(), 15u);  // 7 convolutions, 7 batch norms, 1 linear layer, once
  int selected = 0;
  for (const nlohmann::json& layer : layers) {
    EXPECT_EQ(layer.at("epoch"), 2);
    EXPECT_EQ(layer.at("selected"), layer.at("normalized_g_prime").get<double>() > 0.5);
    EXPECT_EQ(layer.at("factor"), layer.at("selected").get<bool>() ? 2.0 : 1.0);
    EXPECT_DOUBLE_EQ(layer.at("noise_floor"), 0.5);  // 4 iterations
    selected += layer.at("selected").get<bool>() ? 1 : 0;
  }
  EXPECT_GT(selected, 0);

  RunSettings plain = small_run(folder / "plain");
  plain.selection = SelectionMethod::kNone;
  ASSERT_EQ(train_in_child(plain), 0);
  const auto with = lines_of(folder / "amplified/metrics.jsonl"), without = lines_of(folder / "plain/metrics.jsonl");
  EXPECT_EQ(with[1].at("train_loss"), without[1].at("train_loss"));  // the analyzed epoch is not amplified
  EXPECT_NE(with[2].at("train_loss"), without[2].at("train_loss"));
}

}  // namespace
}  // namespace gradamp
