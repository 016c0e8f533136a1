// SPDX-License-Identifier: MIT
// What --keep leaves in a run's folder, and the best weights by held-out images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gradamp/data/files/safetensors.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/run/run_extension.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/sweep/sweep_estimate.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::HasSubstr;

RunSettings kept_run(const fs::path& folder, KeptFiles keep, std::int64_t validation = 0) {
  RunSettings settings = small_run(folder);
  settings.keep = keep;
  settings.validation = validation;
  return settings;
}

std::string epoch_file(int epoch) { return fmt::format("checkpoint-epoch-{:04}.safetensors", epoch); }

/// The epoch of the highest validation accuracy up to `last` by the log, and that accuracy.
std::pair<int, double> best_by_log(const fs::path& run, int last = kEpochs) {
  std::pair<int, double> best{0, -1};
  for (const nlohmann::json& line : lines_of(run / "metrics.jsonl"))
    if (line.at("epoch") <= last && line.at("validation_accuracy") > best.second)
      best = {line.at("epoch"), line.at("validation_accuracy")};
  return best;
}

bool has_weights_of(const fs::path& file, const fs::path& checkpoint) {
  const TensorFile one = read_safetensors(file), other = read_safetensors(checkpoint);
  return std::all_of(other.tensors().begin(), other.tensors().end(), [&](const TensorView& tensor) {
    if (tensor.name.starts_with("gradamp.")) return one.find(tensor.name) == nullptr;
    const TensorView* const found = one.find(tensor.name);
    return found != nullptr && std::ranges::equal(found->bytes, tensor.bytes);
  });
}

TEST(KeptFiles, AllKeepsEveryEpochAndTheBestIsOneOfThem) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  RunSettings settings = kept_run(run, KeptFiles::kAll, 20);
  ASSERT_EQ(train_in_child(settings), 0);
  settings.keep = KeptFiles::kLast;
  settings.run_folder = (folder / "last").string();
  ASSERT_EQ(train_in_child(settings), 0);
  expect_equal_runs(run, folder / "last", kEpochs);
  EXPECT_FALSE(fs::exists(folder / "last" / epoch_file(1)));
  EXPECT_TRUE(text_of(run / epoch_file(4)) == checkpoint_of(run));
  EXPECT_TRUE(text_of(run / epoch_file(3)) == text_of(run / "checkpoint.safetensors.previous"));
  for (int epoch = 1; epoch <= kEpochs; ++epoch)
    EXPECT_EQ(read_safetensors(run / epoch_file(epoch)).metadata().at("epoch"), std::to_string(epoch));
  const auto [best, accuracy] = best_by_log(run);
  const TensorFile file = read_safetensors(run / "best.safetensors");
  EXPECT_EQ(file.metadata().at("epoch"), std::to_string(best));
  EXPECT_TRUE(has_weights_of(run / "best.safetensors", run / epoch_file(best)));
  EXPECT_FALSE(has_weights_of(run / "best.safetensors", run / epoch_file(best == 1 ? 2 : 1)));
  const nlohmann::json summary = nlohmann::json::parse(text_of(run / "summary.json"));
  EXPECT_EQ(summary.at("best_validation_epoch"), best);
  EXPECT_EQ(summary.at("best_validation_accuracy"), accuracy);
}

// A branch has the best weights of its trunk, as if it had been trained alone.
TEST(KeptFiles, ABranchHasTheBestOfItsTrunk) {
  const ScratchFolder folder;
  RunSettings settings = kept_run(folder / "alone", KeptFiles::kLast, 20);
  settings.strategy = "3:0.05, 4:1e-9";
  ASSERT_EQ(train_in_child(settings), 0);
  settings.run_folder = (folder / "trunk").string();
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.last_epoch = 3;
              train(settings, control);
              settings.run_folder = (folder / "branch").string();
              branch(settings, folder / "trunk", {});
            }),
            0);
  EXPECT_LT(best_by_log(folder / "alone").first, 4);  // else the test shows nothing
  EXPECT_TRUE(text_of(folder / "branch/best.safetensors") == text_of(folder / "alone/best.safetensors"));
}

// Wherever the run is killed, the best weights are at least as good as those of any epoch up to the checkpoint; in the
// end all files are those of an unbroken run.
TEST(KeptFiles, KilledAtAnyCallNothingGoodIsLost) {
  const ScratchFolder folder;
  const fs::path unbroken = folder / "unbroken", run = folder / "run";
  const auto train_with = [&](const fs::path& to, Fault fault, int at) {
    return in_child([&] {
      FailingFileSystem failing(fault, at);
      train(kept_run(to, KeptFiles::kAll, 20), {nullptr, nullptr, &failing});
      put_text(folder / "calls", std::to_string(failing.calls()));
    });
  };
  ASSERT_EQ(train_with(unbroken, Fault::kNone, 0), 0);
  const int calls = std::stoi(text_of(folder / "calls"));
  int with_best = 0;
  for (int at = 40; at <= calls; at += 13) {
    SCOPED_TRACE(testing::Message() << "killed at call " << at << " of " << calls);
    fs::remove_all(run);
    // Mid-write only if the call is a write; else nothing is killed.
    train_with(run, at % 2 == 0 ? Fault::kExit : Fault::kExitMidWrite, at);
    if (fs::exists(run / "checkpoint.safetensors")) {
      const int epoch = std::stoi(read_safetensors(run / "checkpoint.safetensors").metadata().at("epoch"));
      const double best = std::stod(read_safetensors(run / "best.safetensors").metadata().at("validation_accuracy"));
      EXPECT_GE(best, best_by_log(run, epoch).second);
      ++with_best;
    }
    ASSERT_EQ(resume_in_child(run), 0);
    expect_equal_runs(run, unbroken, kEpochs);
    EXPECT_TRUE(text_of(run / "best.safetensors") == text_of(unbroken / "best.safetensors"));
    for (int epoch = 1; epoch <= kEpochs; ++epoch)
      EXPECT_TRUE(text_of(run / epoch_file(epoch)) == text_of(unbroken / epoch_file(epoch))) << epoch;
  }
  EXPECT_GT(with_best, 10);
}

// What the long test above finds by kills: in every epoch the best weights are written before the checkpoint.
TEST(KeptFiles, TheBestWeightsAreInPlaceBeforeTheCheckpoint) {
  const ScratchFolder folder;
  ASSERT_EQ(in_child([&] {
              FailingFileSystem file_system;
              train(kept_run(folder / "run", KeptFiles::kAll, 20), {nullptr, nullptr, &file_system});
              std::string order;
              for (const std::string& call : file_system.done()) {
                if (!call.starts_with("rename ")) continue;
                if (call.ends_with(" best.safetensors")) order += 'b';
                if (call.ends_with(" checkpoint.safetensors")) order += 'c';
              }
              put_text(folder / "order", order);
            }),
            0);
  const std::string order = text_of(folder / "order");
  EXPECT_EQ(order.substr(0, 2), "bc");  // the first epoch is the best so far
  EXPECT_EQ(std::count(order.begin(), order.end(), 'c'), kEpochs);
  EXPECT_TRUE(order.ends_with('c'));
  EXPECT_EQ(order.find("bb"), order.npos);
}

TEST(KeptFiles, OnAFileSystemWithoutLinksEpochsAreCopied) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  ASSERT_EQ(in_child([&] {
              FailingFileSystem file_system;
              file_system.refuse_links();
              train(kept_run(run, KeptFiles::kAll), {nullptr, nullptr, &file_system});
            }),
            0);
  EXPECT_TRUE(text_of(run / epoch_file(4)) == checkpoint_of(run));
  EXPECT_TRUE(text_of(run / epoch_file(3)) == text_of(run / "checkpoint.safetensors.previous"));
}

TEST(KeptFiles, OfAFinishedRunOnlyTheWeights) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "last")), 0);
  const fs::path run = folder / "run";
  RunSettings settings = kept_run(run, KeptFiles::kWeights);
  stop_after(settings, 2 * kStepsPerEpoch + 1);
  EXPECT_TRUE(fs::exists(run / "checkpoint.safetensors.previous"));  // not finished yet
  ASSERT_EQ(resume_in_child(run), 0);
  EXPECT_EQ(lines_of(run / "metrics.jsonl"), lines_of(folder / "last/metrics.jsonl"));
  EXPECT_TRUE(has_weights_of(run / "weights.safetensors", folder / "last/checkpoint.safetensors"));
  for (const char* name : {"checkpoint.safetensors", "checkpoint.safetensors.previous"})
    EXPECT_FALSE(fs::exists(run / name));
  const RunFolder opened = RunFolder::open(run, real_file_system());
  EXPECT_EQ(opened.saved_weights(), run / "weights.safetensors");
  for (const fs::path& finished : {run, folder / "last"}) {
    put_text(finished / "failure.txt", "after the last file was written\n");
    EXPECT_EQ(resume_in_child(finished), 0);
    EXPECT_FALSE(fs::exists(finished / "failure.txt"));
  }
  EXPECT_THAT(error_in_child(folder.path(),
                             [&] {
                               TrainingControl control;
                               control.extended = extended_settings(opened.settings(), 6);
                               resume(run, control);
                             }),
              HasSubstr("has only weights (--keep weights)"));
}

// The estimate of a sweep is about the size of the files of a run.
TEST(KeptFiles, TheirSizeIsEstimated) {
  const ScratchFolder folder;
  for (const KeptFiles keep : {KeptFiles::kWeights, KeptFiles::kLast, KeptFiles::kAll}) {
    const std::string name = choice_name(keep);
    SweepCell cell{name, "", kept_run("", keep, 20)};
    const SweepFolder sweep(folder / "sweep", {cell});
    ASSERT_EQ(train_in_child(sweep.jobs()[0].settings), 0);
    double bytes = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator(sweep.jobs()[0].settings.run_folder))
      if (entry.path().string().find(".safetensors") != std::string::npos)
        bytes += static_cast<double>(entry.file_size()) / static_cast<double>(entry.hard_link_count());
    EXPECT_NEAR(estimate_bytes(sweep) / bytes, 1, 0.05) << name;
    EXPECT_EQ(estimate_bytes(sweep), estimate_bytes(sweep, keep));
  }
}

// Killed at each of the last calls of a run: it is finished when it is resumed, and has its weights at any time.
TEST(KeptFiles, KilledAtTheEndARunHasItsWeights) {
  const ScratchFolder folder;
  const fs::path run = folder / "run", stopped = folder / "stopped";
  stop_after(kept_run(stopped, KeptFiles::kWeights), 4 * kStepsPerEpoch - 1);
  const auto resume_with = [&](Fault fault, int at) {
    fs::remove_all(run);
    fs::copy(stopped, run);
    return in_child([&] {
      FailingFileSystem failing(fault, at);
      TrainingControl control;
      control.file_system = &failing;
      resume(run, control);
      put_text(folder / "calls", std::to_string(failing.calls()));
    });
  };
  ASSERT_EQ(resume_with(Fault::kNone, 0), 0);
  const int calls = std::stoi(text_of(folder / "calls"));
  const std::string weights = text_of(run / "weights.safetensors");
  for (int at = calls - 17; at <= calls; at += 3) {
    SCOPED_TRACE(testing::Message() << "killed at call " << at << " of " << calls);
    ASSERT_EQ(resume_with(Fault::kExit, at), FailingFileSystem::kExitCode);
    EXPECT_TRUE(RunFolder::open(run, real_file_system()).saved_weights().has_value());
    ASSERT_EQ(resume_in_child(run), 0);
    EXPECT_TRUE(text_of(run / "weights.safetensors") == weights);
    EXPECT_FALSE(fs::exists(run / "checkpoint.safetensors"));
    EXPECT_FALSE(fs::exists(run / "checkpoint.safetensors.previous"));
  }
}

}  // namespace
}  // namespace gradamp
