// SPDX-License-Identifier: MIT
// Runs with --measure-every: their logs, and that they train as runs without it.
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/run/run_folder.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

RunSettings run_measured(const fs::path& folder, std::int64_t every, SelectionMethod method) {
  RunSettings settings = small_run(folder);
  settings.measure_every = every;
  settings.selection = method;
  return settings;
}

/// (first epoch, epoch) of each window in measures.jsonl.
std::vector<std::pair<int, int>> windows_of(const fs::path& run) {
  std::vector<std::pair<int, int>> windows;
  for (const nlohmann::json& line : lines_of(run / "measures.jsonl")) {
    const std::pair<int, int> window = {line.at("first_epoch"), line.at("epoch")};
    if (windows.empty() || windows.back() != window) windows.push_back(window);
  }
  return windows;
}

TEST(Measuring, ChangesNoBitAndLogsEveryLayer) {
  for (const SelectionMethod method : {SelectionMethod::kMeasure, SelectionMethod::kRandom, SelectionMethod::kNone}) {
    const ScratchFolder folder;
    ASSERT_EQ(train_in_child(run_measured(folder / "plain", 0, method)), 0);
    ASSERT_EQ(train_in_child(run_measured(folder / "measured", 3, method)), 0);
    expect_same_training(folder / "measured", folder / "plain");
    EXPECT_FALSE(fs::exists(folder / "plain/measures.jsonl"));
    EXPECT_THAT(windows_of(folder / "measured"), ElementsAre(std::pair(1, 3), std::pair(4, 4)));
    const std::vector<nlohmann::json> lines = lines_of(folder / "measured/measures.jsonl");
    ASSERT_EQ(lines.size(), 30u);  // 7 convolutions, 7 batch norms, 1 linear layer, twice
    EXPECT_EQ(lines[0].at("layer"), "conv1");
    EXPECT_EQ(lines[0].at("type"), "conv");
    EXPECT_EQ(lines[0].at("parameters"), 432);
    EXPECT_NEAR(lines[0].at("noise_floor"), 1 / std::sqrt(12.0), 1e-12);
    EXPECT_EQ(lines[29].at("noise_floor"), 0.5);
    double sum = 0;
    for (const nlohmann::json& line : lines) {
      EXPECT_GT(line.at("g"), 0);
      EXPECT_LE(line.at("g"), 1);
      if (line.at("epoch") == 3) sum += line.at("normalized_g_prime").get<double>();
    }
    EXPECT_NEAR(sum, 0, 1e-9);
  }
}

// The window of the analyzed epoch alone has the measures of the selection.
TEST(Measuring, AgreesWithTheSelection) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(run_measured(folder / "run", 1, SelectionMethod::kMeasure)), 0);
  const std::vector<nlohmann::json> measures = lines_of(folder / "run/measures.jsonl");
  ASSERT_EQ(measures.size(), 60u);
  for (nlohmann::json layer : lines_of(folder / "run/layers.jsonl")) {
    layer.erase("selected");
    layer.erase("factor");
    layer["first_epoch"] = 2;
    EXPECT_THAT(measures, testing::Contains(layer));
  }
}

TEST(Measuring, ARunIsResumedWithAnotherLengthOfWindows) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  stop_after(run_measured(run, 3, SelectionMethod::kMeasure), 2 * kStepsPerEpoch + 1);
  const auto resume_with = [&](std::int64_t every) {
    return in_child([&] {
      TrainingControl control;
      control.measure_every = every;
      resume(run, control);
    });
  };
  ASSERT_EQ(resume_with(1), 0);
  EXPECT_THAT(windows_of(run), ElementsAre(std::pair(1, 3), std::pair(4, 4)));
  EXPECT_EQ(RunFolder::open(run, real_file_system()).settings().measure_every, 1);
  ASSERT_EQ(train_in_child(run_measured(folder / "plain", 0, SelectionMethod::kMeasure)), 0);
  expect_same_training(run, folder / "plain");
  ASSERT_EQ(resume_with(2), 0);  // the run is finished
  EXPECT_EQ(RunFolder::open(run, real_file_system()).settings().measure_every, 1);
}

TEST(Measuring, ARunWithoutMeasuresBeginsToMeasureWithItsNextEpoch) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  stop_after(run_measured(run, 0, SelectionMethod::kMeasure), 2 * kStepsPerEpoch + 1);
  nlohmann::json config = nlohmann::json::parse(text_of(run / "config.json"));
  for (const char* part : {"settings", "kinds"}) config[part].erase("measure_every");  // as of release 0.1.0
  put_text(run / "config.json", config.dump());
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.measure_every = 1;
              resume(run, control);
            }),
            0);
  EXPECT_THAT(windows_of(run), ElementsAre(std::pair(4, 4)));
  config = nlohmann::json::parse(text_of(run / "config.json"));
  EXPECT_EQ(config.at("settings").at("measure_every"), 1);
  EXPECT_EQ(config.at("kinds").at("measure_every"), "logging");
}

TEST(Measuring, ADamagedEventFileGetsItsCurvesAgain) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  stop_after(run_measured(run, 1, SelectionMethod::kNone), 2 * kStepsPerEpoch + 1);
  fs::path events;
  for (const fs::directory_entry& entry : fs::directory_iterator(run))
    if (entry.path().filename().string().starts_with("events.")) events = entry.path();
  ASSERT_THAT(text_of(events), HasSubstr("measured/G_prime/conv1"));
  std::string text = text_of(events);
  text[30] = static_cast<char>(text[30] ^ 1);
  put_text(events, text);
  ASSERT_EQ(resume_in_child(run), 0);
  text.clear();
  for (const fs::directory_entry& entry : fs::directory_iterator(run))
    if (entry.path().filename().string().starts_with("events.")) text = text_of(entry.path());
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find("measured/G_prime/conv1", at)) != text.npos; ++at) ++count;
  EXPECT_EQ(count, 4u);
}

TEST(Measuring, EntriesAfterTheCheckpointAreRemoved) {
  const ScratchFolder folder;
  RunSettings settings = small_run(folder / "run");
  settings.epochs = 4;
  const RunFolder run = RunFolder::create(folder / "run", settings, "cpu", real_file_system());
  for (const int epoch : {1, 2, 3}) run.append(MeasureSummary{epoch, epoch, 0.5, {{}, {}}});
  run.trim_logs(2, 3);
  EXPECT_THAT(windows_of(folder / "run"), ElementsAre(std::pair(1, 1), std::pair(2, 2)));
  EXPECT_TRUE(is_run_file("measures.jsonl"));
}

}  // namespace
}  // namespace gradamp
