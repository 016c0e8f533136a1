// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/console.h"

#include <limits>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gradamp {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

StepProgress some_progress() {
  StepProgress progress;
  progress.epoch = 3;
  progress.epochs = 12;
  progress.images = 2560;
  progress.images_per_epoch = 10000;
  progress.loss = 1.23456;
  progress.accuracy = 0.56789;
  progress.images_per_second = 1234.4;
  progress.seconds_left = 754;
  return progress;
}

EpochSummary some_epoch() {
  EpochSummary summary;
  summary.epoch = 3;
  summary.epochs = 12;
  summary.learning_rate = 0.1;
  summary.train_loss = 1.234;
  summary.train_accuracy = 0.5678;
  summary.test_loss = 1.1;
  summary.test_accuracy = 0.612;
  summary.seconds = 12.3;
  summary.images_per_second = 1234;
  summary.analyzed = true;
  return summary;
}

/// Layers in the order of ascending G'. The last `selected` layers are selected.
SelectionSummary some_selection(int layers, int selected) {
  SelectionSummary summary;
  summary.epoch = 2;
  summary.noise_floor = 0.0513;
  for (int i = 0; i < layers; ++i) {
    LayerReport layer;
    layer.name = "layer" + std::to_string(i);
    layer.g = 0.01 * i;
    layer.g_prime = 0.02 * i;
    layer.normalized_g = -1.5 + 0.1 * i;
    layer.normalized_g_prime = -1.0 + 0.1 * i;
    layer.selected = i >= layers - selected;
    summary.layers.push_back(layer);
  }
  return summary;
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// A console that writes to strings. The test sets its clock and its terminal.
struct ConsoleFixture {
  explicit ConsoleFixture(bool bar, bool color = false, bool quiet = false) {
    ConsoleOptions options;
    options.bar = bar;
    options.color = color;
    options.quiet = quiet;
    options.result_columns = [this] { return columns; };
    options.progress_columns = [this] { return columns; };
    options.clock = [this] { return now; };
    console.emplace(results, progress, options);
  }
  std::ostringstream results, progress;
  double now = 1000;
  int columns = 80;
  std::optional<Console> console;
};

TEST(Console, ProgressShowsWhereTheRunStands) {
  EXPECT_EQ(format_progress(some_progress(), 0, false),
            "epoch  3/12   25%  loss 1.2346  acc 56.79%  1234 images/s  12:34 left");
  EXPECT_EQ(format_progress(some_progress(), 100, true),
            "epoch  3/12  [======>                    ]   25%  loss 1.2346  acc 56.79%  1234 images/s  12:34 left");
  StepProgress done = some_progress();
  done.images = done.images_per_epoch;
  done.seconds_left = 3723;
  done.images_per_second = 7.25;
  EXPECT_EQ(format_progress(done, 0, false), "epoch  3/12  100%  loss 1.2346  acc 56.79%  7.2 images/s  1:02:03 left");
  done.seconds_left = std::numeric_limits<double>::quiet_NaN();
  done.images_per_epoch = 0;
  EXPECT_THAT(format_progress(done, 0, false), AllOf(HasSubstr("   0%"), EndsWith("  ? left")));
}

TEST(Console, ProgressNeverWraps) {
  for (int columns = 1; columns <= 200; ++columns) {
    const std::string line = format_progress(some_progress(), columns, true);
    EXPECT_LE(line.size(), static_cast<std::size_t>(columns));
    EXPECT_EQ(line.find_first_of("\r\n"), std::string::npos);
  }
  // The least important parts are removed first.
  EXPECT_EQ(format_progress(some_progress(), 50, false), "epoch  3/12   25%  loss 1.2346  acc 56.79%");
  EXPECT_EQ(format_progress(some_progress(), 20, false), "epoch  3/12   25%");
}

TEST(Console, EpochLine) {
  EpochSummary summary = some_epoch();
  EXPECT_EQ(format_epoch(summary, 0),
            "epoch  3/12  lr 0.1  train loss 1.2340 acc 56.78%  test loss 1.1000 acc 61.20%  1234 images/s  12.3 s  "
            "analyzed");
  summary.amplified = true;
  EXPECT_THAT(format_epoch(summary, 0), EndsWith("  analyzed, amplified"));
  summary.analyzed = false;
  EXPECT_THAT(format_epoch(summary, 0), EndsWith("s  amplified"));
  for (int columns = 1; columns <= 130; ++columns)
    EXPECT_LE(format_epoch(summary, columns).size(), static_cast<std::size_t>(columns));
  EXPECT_EQ(format_epoch(summary, 80), "epoch  3/12  train 1.2340 56.78%  test 1.1000 61.20%  1234 img/s  amplified");
  EXPECT_EQ(format_epoch(summary, 40), "epoch  3/12  train 1.2340  test 61.20%");
}

// Train loss and speed are in 80 columns, even of a long run with held-out images in an epoch of both kinds.
TEST(Console, EpochLineOf80ColumnsHasTrainLossAndSpeed) {
  EpochSummary summary = some_epoch();
  summary.epoch = summary.epochs = 150;
  summary.amplified = true;
  summary.validation_accuracy = 0.6;
  summary.images_per_second = 123456;
  EXPECT_EQ(format_epoch(summary, 80), "epoch 150/150  train 1.2340  test 61.20%  val 60.00%  123456 img/s");
  summary.images_per_second = 987;
  summary.amplified = false;
  EXPECT_EQ(format_epoch(summary, 80),
            "epoch 150/150  train 1.2340 56.78%  test 61.20%  val 60.00%  987 img/s  analyzed");
}

TEST(Console, EvaluationIsPartOfTheProgress) {
  StepProgress progress = some_progress();
  progress.to_evaluate = 2500;
  EXPECT_THAT(format_progress(progress, 0, false), HasSubstr("   20%  loss"));  // 2560 of 12500
  progress.images = 10000;
  progress.evaluated = 1250;
  EXPECT_EQ(format_progress(progress, 0, false),
            "epoch  3/12   90%  evaluating  loss 1.2346  acc 56.79%  1234 images/s  12:34 left");
  ConsoleFixture f(true);
  f.now += 1;
  f.console->on_evaluation(progress);
  EXPECT_THAT(f.progress.str(), HasSubstr("90%  evaluating"));
}

TEST(Console, DownloadsShowPercentSpeedAndTimeLeft) {
  EXPECT_EQ(format_download(12'345'678, 170'498'071, 2'100'000), "12.3 MB of 170.5 MB    7%  2.1 MB/s  1:15 left");
  EXPECT_EQ(format_download(12'345'678, 0, 2'100'000), "12.3 MB  2.1 MB/s");
  EXPECT_EQ(format_download(12'345'678, 170'498'071, 0), "12.3 MB of 170.5 MB    7%");
  DownloadSpeed speed;
  EXPECT_EQ(speed.bytes_per_second(100, 50'000'000), 0);  // resumed: these were there before
  EXPECT_EQ(speed.bytes_per_second(102, 52'000'000), 1e6);
  for (int second = 103; second <= 120; ++second) speed.bytes_per_second(second, 52'000'000);
  EXPECT_EQ(speed.bytes_per_second(121, 52'000'000), 0);  // it stalls
  EXPECT_EQ(speed.bytes_per_second(122, 1000), 0);        // it begins again
}

TEST(Console, SizesInPowersOf1000) {
  EXPECT_EQ(format_bytes(999), "999 bytes");
  EXPECT_EQ(format_bytes(1234), "1.2 kB");
  EXPECT_EQ(format_bytes(75.4e9), "75 GB");
  EXPECT_EQ(format_bytes(999.9e6), "1.0 GB");
}

TEST(Console, SelectionTableFitsTheWidth) {
  SelectionSummary summary = some_selection(30, 2);
  summary.layers[29].name = "layer4.22.downsample.1";
  for (int columns = 20; columns <= 100; ++columns)
    for (const std::string& line : split_lines(format_selection(summary, columns)))
      EXPECT_LE(line.size(), static_cast<std::size_t>(columns)) << line;
  EXPECT_EQ(format_selection(summary, 80), format_selection(summary, 0));
  EXPECT_THAT(format_selection(summary, 60), HasSubstr("\n  * layer4.22.downsample.1   0.5800      +1.900   0.2900\n"));
  EXPECT_THAT(format_selection(summary, 30), HasSubstr("\n  * ..22.downsample.1   0.5800\n"));
}

TEST(Console, ASelectionOfNothingIsSaid) {
  SelectionSummary selection = some_selection(3, 1);
  for (LayerReport& layer : selection.layers) layer.selected = false;
  EXPECT_THAT(format_selection(selection),
              StartsWith("selected after epoch 2: 0 of 3 layers (*): nothing is amplified"));
  EXPECT_THAT(format_selection(selection, 50), StartsWith("selected after epoch 2: 0 of 3 layers (*)\n"));
}

TEST(Console, SelectionTableIsSortedAndMarked) {
  const std::string text = format_selection(some_selection(3, 1));
  EXPECT_EQ(text,
            "selected after epoch 2: 1 of 3 layers (*); noise floor of G and G' 0.0513\n"
            "    layer   type         G'  normalized        G  normalized\n"
            "  * layer2  conv     0.0400      -0.800   0.0200      -1.300\n"
            "    layer1  conv     0.0200      -0.900   0.0100      -1.400\n"
            "    layer0  conv     0.0000      -1.000   0.0000      -1.500\n");
  for (const std::string& line : split_lines(text)) EXPECT_LE(line.size(), 80u);
}

TEST(Console, SelectionTableOfADeepNetworkIsShort) {
  const std::vector<std::string> lines = split_lines(format_selection(some_selection(100, 5)));
  ASSERT_EQ(lines.size(), 2u + 5 + 3 + 1);  // heading, columns, selected, lowest, the rest
  EXPECT_THAT(lines[2], StartsWith("  * layer99 "));
  EXPECT_THAT(lines[6], StartsWith("  * layer95 "));
  EXPECT_THAT(lines[7], StartsWith("    layer2 "));
  EXPECT_EQ(lines[10], "    92 more layers are in layers.jsonl");
  EXPECT_LE(split_lines(format_selection(some_selection(300, 300))).size(), 20u);
}

TEST(Console, RandomSelectionHasNoTable) {
  SelectionSummary summary = some_selection(10, 6);
  summary.noise_floor = 0;
  for (LayerReport& layer : summary.layers)
    layer.g = layer.g_prime = layer.normalized_g = layer.normalized_g_prime = std::nullopt;
  EXPECT_EQ(format_selection(summary),
            "drawn for epoch 2: 6 of 10 layers are amplified: layer4, layer5, layer6, layer7 and 2 more\n");
}

TEST(Console, MeasuresAreOneLine) {
  MeasureSummary summary{12, 12, 0.0506, {{}, {}, {}}};
  const double values[] = {0.25, 0.0451, 0.5};
  for (std::size_t l = 0; l < 3; ++l) {
    summary.layers[l].g = values[l];
    summary.layers[l].g_prime = values[l] / 2;
  }
  EXPECT_EQ(format_measures(summary), "measured epoch 12: G 0.045 to 0.500, G' 0.023 to 0.250, noise floor 0.051");
  summary.first_epoch = 109;
  summary.epoch = 112;
  EXPECT_EQ(format_measures(summary),
            "measured epochs 109-112: G 0.045 to 0.500, G' 0.023 to 0.250, noise floor 0.051");
  EXPECT_LE(format_measures(summary).size(), 80u);
}

TEST(Console, OutcomeSaysWhatCameOfItAndWhatToDo) {
  TrainingOutcome outcome;
  outcome.completed = true;
  outcome.last = some_epoch();
  outcome.last.epoch = 12;
  outcome.best_accuracy = 0.65;
  outcome.best_epoch = 10;
  outcome.seconds = 192;
  outcome.run_folder = "runs/a b";
  outcome.selections = {some_selection(20, 2), some_selection(20, 0)};
  outcome.selections[1].epoch = 9;
  EXPECT_EQ(format_outcome(outcome),
            "finished 12 epochs in 3 min 12 s\n"
            "  test accuracy  61.20% (epoch 12), best 65.00% (epoch 10)\n"
            "  selected       after epoch 2: 2 of 20 layers: layer18, layer19\n"
            "                 after epoch 9: 0 of 20 layers\n"
            "  run folder     runs/a b\n"
            "next: gradamp evaluate --run 'runs/a b'\n");
  outcome.selections.clear();
  EXPECT_THAT(format_outcome(outcome), HasSubstr("gradamp train --strategy params_1 --epochs 12"));
}

TEST(Console, BarIsOverwrittenAndRemoved) {
  ConsoleFixture f(true);
  f.columns = 100;
  f.now += 0.2;
  f.console->on_step(some_progress());
  const std::string first = f.progress.str();
  EXPECT_THAT(first, AllOf(StartsWith("\repoch  3/12  [=="), EndsWith("left\x1b[K"), Not(HasSubstr("\n"))));
  EXPECT_LT(first.size(), 1 + 100 + 3u);  // narrower than the terminal
  f.now += 0.05;
  f.console->on_step(some_progress());
  EXPECT_EQ(f.progress.str(), first) << "redrawn more than ten times a second";
  f.now += 0.1;
  f.console->on_step(some_progress());
  EXPECT_EQ(f.progress.str(), first + first);
  f.console->on_epoch(some_epoch());
  EXPECT_EQ(f.progress.str(), first + first + "\r\x1b[K");
  EXPECT_THAT(f.results.str(), AllOf(StartsWith("epoch  3/12  lr 0.1"), EndsWith("\n"), Not(HasSubstr("\x1b"))));
  EXPECT_LE(f.results.str().size(), 101u);
  f.now += 1;
  f.console->on_step(some_progress());
  f.console.reset();
  EXPECT_THAT(f.progress.str(), EndsWith("\x1b[K\r\x1b[K")) << "an error message would follow the bar";
}

TEST(Console, PlainLinesElsewhere) {
  ConsoleFixture f(false);
  f.columns = 0;
  for (int second = 0; second < 60; ++second) {
    f.console->on_step(some_progress());
    f.now += 1;
  }
  EXPECT_EQ(f.progress.str(), format_progress(some_progress(), 0, false) + "\n");
  f.console->on_epoch(some_epoch());
  f.now += 20;
  f.console->on_step(some_progress());
  EXPECT_EQ(split_lines(f.progress.str()).size(), 1u) << "an epoch's line was just printed";
  f.console->on_start({"device  cpu", "network resnet8"});
  EXPECT_EQ(f.results.str(), format_epoch(some_epoch(), 0) + "\ndevice  cpu\nnetwork resnet8\n");
  EXPECT_EQ((f.progress.str() + f.results.str()).find_first_of("\r\x1b"), std::string::npos);
}

TEST(Console, ColorsOnlyWhereWanted) {
  for (bool color : {false, true}) {
    ConsoleFixture f(true, color);
    f.console->on_selection(some_selection(3, 1));
    EXPECT_EQ(f.results.str().find('\x1b') != std::string::npos, color);
  }
}

TEST(Console, QuietPrintsTheSummaryOnly) {
  ConsoleFixture f(true, true, true);
  f.now += 100;
  f.console->on_start({"device"});
  f.console->on_step(some_progress());
  f.console->on_epoch(some_epoch());
  f.console->on_selection(some_selection(3, 1));
  EXPECT_EQ(f.results.str() + f.progress.str(), "");
  TrainingOutcome outcome;
  outcome.last = some_epoch();
  f.console->on_finish(outcome);
  EXPECT_EQ(f.results.str(), format_outcome(outcome));
}

TEST(Console, Durations) {
  EXPECT_EQ(format_duration(0.04), "0.0 s");
  EXPECT_EQ(format_duration(59.9), "59.9 s");
  EXPECT_EQ(format_duration(59.97), "1 min 00 s");
  EXPECT_EQ(format_duration(192.4), "3 min 12 s");
  EXPECT_EQ(format_duration(7500), "2 h 05 min");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "inf s");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::quiet_NaN()), "nan s");
}

TEST(Console, ShellWords) {
  EXPECT_EQ(shell_word("runs/a-1_b.c"), "runs/a-1_b.c");
  EXPECT_EQ(shell_word("it's $x"), "'it'\\''s $x'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace gradamp
