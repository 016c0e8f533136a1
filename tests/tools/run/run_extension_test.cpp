// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_extension.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/run/run_folder.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kPhases = "1:0.05, 3:0.05:2, 4:0.01";
constexpr const char* kLonger = "1:0.05, 3:0.05:2, 6:0.01";

RunSettings stored_run(const std::string& strategy, int epochs) {
  RunSettings settings;
  settings.strategy = strategy;
  settings.epochs = epochs;
  return settings;
}

TEST(RunExtension, ProlongsTheLastOfItsOwnPhases) {
  const RunSettings longer = extended_settings(stored_run(kPhases, 4), 6);
  EXPECT_EQ(longer.strategy, kLonger);
  EXPECT_EQ(longer.epochs, 6);
  EXPECT_EQ(to_string(longer.resolved_strategy()), kLonger);
  EXPECT_TRUE(is_extension(stored_run(kPhases, 4), longer));
  EXPECT_FALSE(is_extension(longer, stored_run(kPhases, 4)));
  RunSettings other = longer;
  other.seed = 2;
  EXPECT_FALSE(is_extension(stored_run(kPhases, 4), other));
}

TEST(RunExtension, OfScaledPhasesIsRefusedWithWhatToDo) {
  const auto refusal = [](const RunSettings& stored, int epochs, const std::string& strategy = "") {
    return error_of([&] { extended_settings(stored, epochs, strategy); });
  };
  EXPECT_EQ(
      refusal(stored_run("params_1", 15), 20),
      "--epochs 20: the strategy params_1 is scaled to the run's epochs, so the 15 epochs that it has would change; to "
      "prolong its last phase, also give --strategy '5:0.1, 10:0.1:2, 13:0.01:2, 20:0.01'; to scale it, start a "
      "new run");
  EXPECT_THAT(refusal(stored_run("step", 30), 40), HasSubstr("give --strategy '24:0.1, 40:0.01'"));
  EXPECT_THAT(refusal(stored_run(kPhases, 8), 10), HasSubstr("is scaled to the run's epochs"));
  EXPECT_THAT(refusal(stored_run(kPhases, 4), 3), HasSubstr("expected more than the run's 4 to extend it, got 3"));
  EXPECT_THAT(refusal(stored_run(kPhases, 4), 0, "1:0.05, 3:0.05"), HasSubstr("a run cannot be shortened"));
  EXPECT_THAT(refusal(stored_run(kPhases, 4), 0, "2:0.05, 3:0.05:2, 6:0.01"), HasSubstr("would change its epoch 2"));
  // What the messages advise is accepted.
  const RunSettings advised = extended_settings(stored_run("params_1", 15), 20, "5:0.1, 10:0.1:2, 13:0.01:2, 20:0.01");
  EXPECT_EQ(advised.epochs, 20);
  EXPECT_EQ(extended_settings(stored_run("step", 30), 0, "24:0.1, 40:0.01").epochs, 40);
}

// A longer phase has room for a window that the shorter one omitted.
TEST(RunExtension, OfAScheduleOverTheWholeRunIsRefused) {
  RunSettings stored = stored_run(kPhases, 4);
  stored.schedule = Schedule::kCosine;
  EXPECT_THAT(error_of([&] { extended_settings(stored, 6); }),
              HasSubstr("follows --schedule cosine over the run's 4 epochs"));
  RunSettings longer = stored_run(kLonger, 6);
  longer.schedule = Schedule::kCosine;
  EXPECT_FALSE(is_extension(stored, longer));
  // What is logged may differ.
  stored.schedule = longer.schedule = Schedule::kPhases;
  longer.measure_every = 2;
  EXPECT_TRUE(is_extension(stored, longer));
}

TEST(RunExtension, ThatWouldSelectAgainIsRefused) {
  RunSettings stored = stored_run("1:0.1, 6:0.1:2", 6);
  stored.reselect_every = 3;
  EXPECT_EQ(extended_settings(stored, 8).strategy, "1:0.1, 8:0.1:2");  // a window of 3 to 5, none from 6 on
  EXPECT_THAT(error_of([&] { extended_settings(stored, 9); }),
              AllOf(HasSubstr("would change its epoch 6"), HasSubstr("another --reselect-every window")));
}

void extend(const fs::path& run, FileSystem* file_system = nullptr) {
  TrainingControl control;
  control.file_system = file_system;
  control.extended = extended_settings(RunFolder::open(run, real_file_system()).settings(), 6);
  resume(run, control);
}

/// The logs without the epochs of the whole run, which a line has as they were when it was written.
std::vector<nlohmann::json> epochs_of(const fs::path& run) {
  std::vector<nlohmann::json> lines = lines_of(run / "metrics.jsonl");
  for (nlohmann::json& line : lines) line.erase("epochs");
  return lines;
}

// The first epochs keep their bits, and the whole is the run that had the longer phase from the beginning.
TEST(RunExtension, EqualsTheRunThatWasLongFromTheBeginning) {
  const ScratchFolder folder;
  RunSettings longer = small_run(folder / "long");
  longer.strategy = kLonger;
  ASSERT_EQ(train_in_child(longer), 0);
  const fs::path run = folder / "run";
  ASSERT_EQ(train_in_child(small_run(run)), 0);
  const std::string metrics = text_of(run / "metrics.jsonl");
  ASSERT_EQ(in_child([&] { extend(run); }), 0);
  EXPECT_TRUE(text_of(run / "metrics.jsonl").starts_with(metrics));
  EXPECT_TRUE(checkpoint_of(run) == checkpoint_of(folder / "long"));
  EXPECT_EQ(epochs_of(run), epochs_of(folder / "long"));
  EXPECT_EQ(lines_of(run / "layers.jsonl"), lines_of(folder / "long/layers.jsonl"));
  EXPECT_EQ(RunFolder::open(run, real_file_system()).summarized_epochs(), 6);
  EXPECT_EQ(resume_in_child(run), 0);
}

// Killed at any call before the first new checkpoint: the run is the old one or the longer one, and continues as such.
TEST(RunExtension, KilledAtAnyCallIsExtendedOrNot) {
  const ScratchFolder folder;
  const fs::path finished = folder / "finished", run = folder / "run";
  RunSettings longer = small_run(folder / "long");
  longer.strategy = kLonger;
  ASSERT_EQ(train_in_child(longer), 0);
  ASSERT_EQ(train_in_child(small_run(finished)), 0);
  int old = 0, extended = 0;
  for (int at = 5; old == 0 || extended < 2; at += 15) {
    fs::remove_all(run);
    fs::copy(finished, run);
    const int code = in_child([&] {
      FailingFileSystem failing(Fault::kExit, at);
      extend(run, &failing);
    });
    ASSERT_EQ(code, FailingFileSystem::kExitCode) << at;
    const bool is_longer = RunFolder::open(run, real_file_system()).settings().epochs == 6;
    (is_longer ? extended : old) += 1;
    ASSERT_EQ(in_child([&] { is_longer ? static_cast<void>(resume(run, {})) : extend(run); }), 0);
    EXPECT_TRUE(checkpoint_of(run) == checkpoint_of(folder / "long")) << at;
  }
}

}  // namespace
}  // namespace gradamp
