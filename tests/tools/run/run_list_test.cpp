// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gradamp/data/files/file_lock.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/tools/run/runs.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A run with logs of `epochs` of 4 epochs, and a start in this second of 2026.
RunFolder logged_run(const fs::path& path, int epochs, int second, bool summarized) {
  RunSettings settings = small_run(path);
  settings.epochs = kEpochs;
  const RunFolder run = RunFolder::create(path, settings, "cpu", real_file_system());
  nlohmann::json config = nlohmann::json::parse(text_of(path / "config.json"));
  config["started"] = fmt::format("2026-01-01T00:00:{:02}Z", second);
  put_text(path / "config.json", config.dump());
  EpochSummary epoch;
  epoch.epochs = kEpochs;
  epoch.test_accuracy = 0.5;
  while (epoch.epoch < epochs) {
    ++epoch.epoch;
    run.append(epoch);
  }
  if (summarized) run.write_summary(run.read_outcome());
  return RunFolder::open(path, real_file_system());
}

/// Four runs in runs/, one per state; `lock` holds that of the running one.
class RunList : public testing::Test {
 protected:
  void SetUp() override {
    logged_run(runs_ / "finished", 4, 3, true);
    logged_run(runs_ / "stopped", 2, 2, true);
    logged_run(runs_ / "below/failed", 1, 4, false).record_failure("the loss is not\nfinite");
    logged_run(runs_ / "running", 3, 5, true);
    lock_.emplace(runs_ / "running/lock");
    ASSERT_EQ(lock_->try_acquire(), LockState::kHeld);
  }
  std::vector<std::string> names(const std::vector<RunOverview>& runs) const {
    std::vector<std::string> texts;
    for (const RunOverview& run : runs)
      texts.push_back(
          fmt::format("{} {} {}", run.path.filename().string(), name_of(run.state), run.last ? run.last->epoch : 0));
    return texts;
  }

  ScratchFolder folder_;
  const fs::path runs_ = folder_ / "runs";
  std::optional<FileLock> lock_;
};

TEST_F(RunList, HasEveryStateSortedByStart) {
  fs::create_directory_symlink(runs_ / "finished", runs_ / "link");
  put_text(runs_ / "a file", "");
  const std::vector<RunOverview> runs = list_runs(runs_, real_file_system());
  EXPECT_THAT(names(runs),
              ElementsAre("stopped stopped 2", "finished finished 4", "failed failed 1", "running running 3"));
  EXPECT_EQ(runs[2].failure, R"(the loss is not\nfinite)");
  EXPECT_THAT(names(list_runs(runs_ / "stopped", real_file_system())), ElementsAre("stopped stopped 2"));
  EXPECT_THAT(error_of([&] { list_runs(folder_ / "none", real_file_system()); }), HasSubstr("no such folder"));
}

TEST_F(RunList, ADamagedRunIsListedWithTheReason) {
  put_text(runs_ / "stopped/config.json", "{");
  const std::vector<RunOverview> runs = list_runs(runs_, real_file_system());
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0].state, RunState::kFailed);
  EXPECT_THAT(runs[0].failure, HasSubstr("config.json is damaged"));
  EXPECT_THAT(format_runs(runs, 0), HasSubstr("config.json is damaged"));
}

// An earlier release wrote it: its config.json has no start, but the name of its event file does.
TEST_F(RunList, ARunWithoutAStartIsSortedByItsEventFile) {
  nlohmann::json config = nlohmann::json::parse(text_of(runs_ / "stopped/config.json"));
  config.erase("started");
  put_text(runs_ / "stopped/config.json", config.dump());
  const RunOverview run = overview_of(runs_ / "stopped", real_file_system());
  EXPECT_GT(run.started, "2026-01-02");  // now
  EXPECT_EQ(run.started.size(), std::string("2026-01-01T00:00:00Z").size());
}

TEST_F(RunList, LooksDoNotChangeAnything) {
  fs::remove(runs_ / "stopped/lock");
  list_runs(runs_, real_file_system());
  EXPECT_FALSE(fs::exists(runs_ / "stopped/lock"));
}

TEST_F(RunList, ABeginningOfASweepIsNotAStoppedRun) {
  fs::create_directories(runs_ / "beginnings");
  fs::rename(runs_ / "stopped", runs_ / "beginnings/one");
  const auto state = [&] { return overview_of(runs_ / "beginnings/one", real_file_system()).state; };
  EXPECT_EQ(state(), RunState::kStopped);  // not in a sweep's folder
  put_text(runs_ / "sweep.toml", "");
  EXPECT_EQ(state(), RunState::kShared);
  put_text(runs_ / "beginnings/one/failure.txt", "the loss is not finite\n");
  EXPECT_EQ(state(), RunState::kFailed);
  fs::remove(runs_ / "beginnings/one/failure.txt");
  EXPECT_THAT(names(list_runs(runs_, real_file_system())), testing::Contains("one shared 2"));
}

TEST_F(RunList, TheNewestUnfinishedRunIsFound) {
  const auto newest = [&] { return newest_unfinished(list_runs(runs_, real_file_system()), "runs").path.filename(); };
  EXPECT_EQ(newest(), "failed");
  fs::remove_all(runs_ / "below");
  EXPECT_EQ(newest(), "stopped");
  fs::remove_all(runs_ / "stopped");
  EXPECT_THAT(error_of(newest), HasSubstr("the only unfinished runs in runs/ are running, the newest in "));
  lock_.reset();
  fs::remove_all(runs_ / "running");
  EXPECT_THAT(error_of(newest), HasSubstr("every run in runs/ is finished; --resume "));
  fs::remove_all(runs_ / "finished");
  EXPECT_THAT(error_of(newest), HasSubstr("there is no run in runs/"));
}

TEST(Recipe, HasWhatDiffersFromTheDefaultsAndMatters) {
  RunSettings settings;
  settings.network = "resnet8";
  settings.threads = 3;
  settings.threshold = 1.5;
  EXPECT_EQ(recipe_of(settings), "step");  // which amplifies nothing
  settings.strategy = "params_1";
  settings.seed = 2;
  settings.flip = false;
  EXPECT_EQ(recipe_of(settings), "params_1, no-flip, threshold 1.5, seed 2");
  settings.selection = SelectionMethod::kRandom;
  EXPECT_EQ(recipe_of(settings), "params_1, no-flip, selection random, seed 2");
  settings.selection = SelectionMethod::kNone;
  EXPECT_EQ(recipe_of(settings), "params_1, no-flip, selection none, seed 2");
  settings.strategy = "step";
  EXPECT_EQ(recipe_of(settings), "step, no-flip, seed 2");
}

TEST_F(RunList, IsATableThatFitsTheWidth) {
  std::vector<RunOverview> runs = list_runs(runs_, real_file_system());
  for (RunOverview& run : runs) run.path = run.path.filename();
  const std::string wide = format_runs(runs, 0);
  EXPECT_THAT(wide, HasSubstr("run       network  data       epochs  accuracy  state     recipe\n"));
  EXPECT_THAT(wide, HasSubstr("finished  resnet8  synthetic  4/4     50.00%    finished  1:0.05, 3:0.05:2, 4:0.01, "));
  const std::string narrow = format_runs(runs, 70);
  EXPECT_THAT(narrow, HasSubstr("finished  resnet8  synthetic  4/4     50.00%    finished\n    1:0.05, 3:0.05:2"));
  const nlohmann::json json = nlohmann::json::parse(runs_to_json(runs).dump());
  EXPECT_EQ(json.at(2).at("failure"), R"(the loss is not\nfinite)");
  EXPECT_EQ(json.at(1).at("epochs_done"), 4);
  EXPECT_EQ(json.at(1).at("settings").at("threshold"), 0.5);
}

TEST_F(RunList, TwoRunsAreCompared) {
  nlohmann::json config = nlohmann::json::parse(text_of(runs_ / "stopped/config.json"));
  config["settings"]["seed"] = 7;
  config["settings"]["random_fraction"] = 0.25;  // makes no difference
  put_text(runs_ / "stopped/config.json", config.dump());
  const fs::path a = runs_ / "finished", b = runs_ / "stopped";
  const nlohmann::json json = nlohmann::json::parse(comparison_to_json(a, b, real_file_system()).dump());
  EXPECT_EQ(json.at("settings"), nlohmann::json::parse(R"({"seed": ["1", "7"]})"));
  EXPECT_EQ(json.at("figures").at("epochs"), nlohmann::json({"4", "2"}));
  EXPECT_EQ(json.at("figures").at("test accuracy"), nlohmann::json({"50.00%", "50.00%"}));
  EXPECT_THAT(format_comparison(a, b, real_file_system()), HasSubstr("\nseed "));
  EXPECT_THAT(format_comparison(a, a, real_file_system()), HasSubstr("no setting differs"));
}

TEST_F(RunList, RemovalTakesOnlyTheRunsFiles) {
  put_text(runs_ / "stopped/metrics.jsonl.gradamp-tmp", "");
  put_text(runs_ / "stopped/damaged-123.0123456789abcdef", "");
  remove_run(prepare_removal(runs_ / "stopped", real_file_system()), real_file_system());
  EXPECT_FALSE(fs::exists(runs_ / "stopped"));

  const fs::path run = runs_ / "finished", target = folder_ / "elsewhere";
  put_text(run / "notes.txt", "mine");
  put_text(target, "mine");
  fs::create_symlink(target, run / "checkpoint.safetensors");
  const RunRemoval removal = prepare_removal(run, real_file_system());
  EXPECT_THAT(removal.foreign, ElementsAre("checkpoint.safetensors", "notes.txt"));
  EXPECT_EQ(removal.files.back(), "lock");
  remove_run(removal, real_file_system());
  EXPECT_THAT(names_in(run), ElementsAre("checkpoint.safetensors", "notes.txt"));
  EXPECT_EQ(text_of(target), "mine");
}

TEST_F(RunList, RemovalTakesWhatSlurmLeft) {
  const fs::path slurm = runs_ / "stopped/slurm";
  fs::create_directories(slurm);
  for (const char* name : {"run-1.sh", "12_0.log", "submitted.jsonl", "lock", "mine_0.log"}) put_text(slurm / name, "");
  const RunRemoval removal = prepare_removal(runs_ / "stopped", real_file_system());
  EXPECT_THAT(removal.foreign, ElementsAre("slurm/mine_0.log"));
  remove_run(removal, real_file_system());
  EXPECT_THAT(names_in(slurm), ElementsAre("mine_0.log"));
  fs::rename(slurm, runs_ / "finished/slurm");
  fs::remove(runs_ / "finished/slurm/mine_0.log");
  remove_run(prepare_removal(runs_ / "finished", real_file_system()), real_file_system());
  EXPECT_FALSE(fs::exists(runs_ / "finished"));
}

TEST_F(RunList, ARunningRunAndWhatIsNoRunAreNotRemoved) {
  EXPECT_THAT(error_of([&] { prepare_removal(runs_ / "running", real_file_system()); }),
              HasSubstr("is training this run"));
  EXPECT_THAT(error_of([&] { prepare_removal(runs_, real_file_system()); }), HasSubstr("holds no run"));
  EXPECT_FALSE(fs::exists(runs_ / "lock"));
}

// Whenever the removal is killed, what is left is a run that can be removed, or nothing.
TEST_F(RunList, AKilledRemovalCanBeRepeated) {
  const fs::path copy = folder_ / "copy";
  const auto remove = [&](FileSystem& file_system) { remove_run(prepare_removal(copy, file_system), file_system); };
  fs::copy(runs_ / "finished", copy);
  const int calls = count_calls(remove);
  ASSERT_GE(calls, 10);
  for (int at = 1; at <= calls; ++at) {
    fs::copy(runs_ / "finished", copy);
    ASSERT_EQ(run_with_fault(Fault::kExit, at, remove).kind, Outcome::kKilled);
    if (fs::exists(copy / "config.json")) {
      remove(real_file_system());
    } else if (fs::exists(copy)) {
      const std::vector<std::string> left = names_in(copy);
      EXPECT_TRUE(left.empty() || left == std::vector<std::string>{"lock"}) << at;
      fs::remove_all(copy);
    }
    EXPECT_FALSE(fs::exists(copy)) << at;
  }
}

// A run says why it failed, until it is trained again.
TEST(RunFailure, IsRecordedAndForgotten) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  RunSettings settings = small_run(run);
  settings.strategy = "2:1e30";
  const std::string message = error_in_child(folder.path(), [&] { train(settings, {}); });
  EXPECT_THAT(message, HasSubstr("not finite"));
  EXPECT_EQ(RunFolder::open(run, real_file_system()).read_failure(), message);
  EXPECT_EQ(overview_of(run, real_file_system()).state, RunState::kFailed);
  std::string later = "unset";
  EXPECT_EQ(in_child([&] {
              class Look : public TrainingObserver {
               public:
                explicit Look(const fs::path& path) : path_(path) {}
                void on_step(const StepProgress&) override { check(!fs::exists(path_), "expected no record"); }

               private:
                fs::path path_;
              } look(run / "failure.txt");
              TrainingControl control;
              control.observer = &look;
              try {
                resume(run, control);
              } catch (const Error& error) {
                check(std::string(error.what()).find("not finite") != std::string::npos, "{}", error.what());
              }
            }),
            0);
}

}  // namespace
}  // namespace gradamp
