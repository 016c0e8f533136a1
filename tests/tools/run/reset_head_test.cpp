// SPDX-License-Identifier: MIT
// Runs that begin with the weights of a network for another number of classes (--weights, --reset-head).
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/data/files/safetensors.h"
#include "gradamp/tests/tools/run/runs.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Writes the weights of a run of small_run as if its images had 7 classes; returns their path.
fs::path make_weights_of_seven_classes(const ScratchFolder& folder) {
  const fs::path run = folder / "seven", path = folder / "seven.safetensors";
  RunSettings settings = small_run(run);
  settings.seed = 7;
  settings.strategy = "1:0.05";
  EXPECT_EQ(train_in_child(settings), 0);
  const TensorFile file = read_safetensors(run / "checkpoint.safetensors");
  std::vector<TensorView> tensors = file.tensors();
  std::erase_if(tensors, [](const TensorView& tensor) { return tensor.name.starts_with("gradamp."); });
  for (TensorView& tensor : tensors) {
    if (tensor.name == "linear.weight") tensor.shape = {7, 64};
    if (tensor.name == "linear.bias") tensor.shape = {7};
    tensor.bytes = tensor.bytes.first(static_cast<std::size_t>(tensor.shape.count()) * sizeof(float));
  }
  write_safetensors(path, std::move(tensors), {}, Keep::kNothing);
  return path;
}

RunSettings run_with_a_new_head(const fs::path& folder, const fs::path& weights) {
  RunSettings settings = small_run(folder);
  settings.weights = weights.string();
  settings.reset_head = true;
  return settings;
}

/// The tensors with which a run begins, by name.
std::map<std::string, std::vector<std::byte>> initial_tensors(const RunSettings& settings) {
  EXPECT_EQ(in_child([&] {
              std::atomic<bool> stop = true;
              train(settings, {&stop, nullptr, nullptr});
            }),
            0);
  std::map<std::string, std::vector<std::byte>> tensors;
  const TensorFile file = read_safetensors(fs::path(settings.run_folder) / "checkpoint.safetensors");
  for (const TensorView& tensor : file.tensors())
    if (!tensor.name.starts_with("gradamp.")) tensors[tensor.name] = {tensor.bytes.begin(), tensor.bytes.end()};
  return tensors;
}

TEST(ResetHead, LoadsAllButTheHeadWhichIsThatOfANewRun) {
  const ScratchFolder folder;
  const fs::path weights = make_weights_of_seven_classes(folder);
  const auto begun = initial_tensors(run_with_a_new_head(folder / "run", weights));
  const auto fresh = initial_tensors(small_run(folder / "fresh"));
  ASSERT_EQ(begun.size(), fresh.size());
  const TensorFile file = read_safetensors(weights);
  int loaded = 0;
  for (const auto& [name, bytes] : begun) {
    if (name == "linear.weight" || name == "linear.bias") {
      EXPECT_TRUE(bytes == fresh.at(name)) << name;
      continue;
    }
    const TensorView* const saved = file.find(name);
    ASSERT_NE(saved, nullptr) << name;
    EXPECT_TRUE(std::ranges::equal(bytes, saved->bytes)) << name;
    loaded += bytes == fresh.at(name) ? 0 : 1;
  }
  EXPECT_GT(loaded, 30);
  const nlohmann::json config = nlohmann::json::parse(text_of(folder / "run/config.json"));
  EXPECT_EQ(config.at("settings").at("reset_head"), true);
  EXPECT_EQ(config.at("kinds").at("reset_head"), "training");
}

TEST(ResetHead, WithoutItTheRefusalNamesIt) {
  const ScratchFolder folder;
  RunSettings settings = run_with_a_new_head(folder / "run", make_weights_of_seven_classes(folder));
  settings.reset_head = false;
  EXPECT_THAT(error_in_child(folder.path(), [&] { train(settings, {}); }),
              AllOf(HasSubstr(settings.weights),
                    HasSubstr("the weights' 'linear.weight' has shape [7, 64], expected [10, 64]: they are for 7 "
                              "classes, this network has 10; give weights for these classes, or give --reset-head to "
                              "start with a new head")));
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(ResetHead, OtherMismatchesAreStillRefused) {
  const ScratchFolder folder;
  RunSettings settings = run_with_a_new_head(folder / "run", make_weights_of_seven_classes(folder));
  settings.network = "resnet20";
  for (const bool reset : {true, false}) {
    settings.reset_head = reset;
    EXPECT_THAT(error_in_child(folder.path(), [&] { train(settings, {}); }),
                AllOf(HasSubstr("the weights lack 'layer1.1"), testing::Not(HasSubstr("--reset-head"))));
  }
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(ResetHead, IsDeterministicAndResumable) {
  const ScratchFolder folder;
  const fs::path weights = make_weights_of_seven_classes(folder);
  const auto settings = [&](const fs::path& run) { return run_with_a_new_head(run, weights); };
  ASSERT_EQ(train_in_child(settings(folder / "unbroken")), 0);
  ASSERT_EQ(train_in_child(settings(folder / "again")), 0);
  expect_equal_runs(folder / "again", folder / "unbroken", kEpochs);
  ASSERT_EQ(in_child([&] {  // before the first checkpoint, so that resuming reads the weights again
              ActAtStep observer(1, [] { ::kill(::getpid(), SIGKILL); });
              train(settings(folder / "killed"), {nullptr, &observer, nullptr});
            }),
            -SIGKILL);
  stop_after(settings(folder / "stopped"), kStepsPerEpoch + 2);
  for (const char* name : {"killed", "stopped"}) {
    ASSERT_EQ(resume_in_child(folder / name), 0) << name;
    expect_equal_runs(folder / name, folder / "unbroken", kEpochs);
  }
}

TEST(ResetHead, ABranchHasTheHeadOfItsTrunk) {
  const ScratchFolder folder;
  const fs::path weights = make_weights_of_seven_classes(folder);
  const auto settings = [&](const char* run) { return run_with_a_new_head(folder / run, weights); };
  ASSERT_EQ(train_in_child(settings("alone")), 0);
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.last_epoch = 1;
              train(settings("trunk"), control);
            }),
            0);
  ASSERT_EQ(in_child([&] { branch(settings("branch"), folder / "trunk", {}); }), 0);
  expect_equal_runs(folder / "branch", folder / "alone", kEpochs);
  RunSettings other = settings("other");
  other.reset_head = false;
  EXPECT_THAT(error_in_child(folder.path(), [&] { branch(other, folder / "trunk", {}); }),
              HasSubstr("expected --reset-head, got --no-reset-head"));
}

}  // namespace
}  // namespace gradamp
