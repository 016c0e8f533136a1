// SPDX-License-Identifier: MIT
// Tests of a sweep's file, its cells and its beginnings. sweep_test.py tests the runs.
#include "gradamp/tools/sweep/sweep.h"
#include "gradamp/tests/data/files/scratch_folder.h"

#include <ctime>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"
#include "gradamp/tools/sweep/sweep_console.h"
#include "gradamp/tools/sweep/sweep_folder.h"

namespace gradamp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<SweepCell> cells_of(const std::string& text, const std::vector<SweepOverride>& overrides = {}) {
  std::istringstream stream(text);
  return read_sweep(stream, "s.toml", overrides);
}

std::string sweep_error(const std::string& text, const std::vector<SweepOverride>& overrides = {}) {
  try {
    cells_of(text, overrides);
  } catch (const Error& error) {
    return error.what();
  }
  return "(none)";
}

std::vector<std::string> names_of(const std::vector<SweepCell>& cells) {
  std::vector<std::string> names;
  for (const SweepCell& cell : cells) names.push_back(cell.name);
  return names;
}

// Existing folders keep their names.
TEST(Sweep, TheSyntheticDatasetsEarlierNameIsKnown) {
  const std::vector<SweepCell> cells = cells_of("dataset = made\nseed = [1, 2]\n[original]");
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_EQ(cells[0].settings.dataset, "synthetic");
  const std::vector<SweepCell> two = cells_of("dataset = [made, cifar10]\n[original]");
  EXPECT_THAT(names_of(two), ElementsAre("original_made", "original_cifar10"));
  EXPECT_EQ(two[0].settings.dataset, "synthetic");
  EXPECT_EQ(sweep_error("dataset = [made, synthetic]\n[original]"), "s.toml:1: dataset: got synthetic twice");
}

TEST(Sweep, EveryCombinationIsACell) {
  const std::vector<SweepCell> cells = cells_of(R"(
    network = [resnet8, resnet20]   # an axis
    strategy = params_1             # fixed
    batch-size = 64
    [original]
    [random]
    random-fraction = 0.25
    [amplified]
    measure = [g, g-prime]
    threshold = 0.7:0.9:0.1
    batch-size = 32
  )");
  ASSERT_EQ(cells.size(), 2u + 2u + 2u * 2u * 3u);
  EXPECT_EQ(cells[0].name, "original_resnet8");
  EXPECT_EQ(cells[0].settings.network, "resnet8");
  EXPECT_EQ(cells[0].settings.strategy, "params_1");
  EXPECT_EQ(cells[0].settings.batch_size, 64);
  EXPECT_EQ(cells[0].settings.selection, SelectionMethod::kNone);
  EXPECT_EQ(cells[3].name, "random_resnet20");
  EXPECT_EQ(cells[3].settings.selection, SelectionMethod::kRandom);
  EXPECT_EQ(cells[3].settings.random_fraction, 0.25);
  EXPECT_EQ(cells[4].name, "amplified_resnet8_g_threshold-0.7");
  EXPECT_EQ(cells[9].name, "amplified_resnet8_g-prime_threshold-0.9");
  EXPECT_EQ(cells[10].name, "amplified_resnet20_g_threshold-0.7");
  EXPECT_EQ(cells[9].settings.selection, SelectionMethod::kMeasure);
  EXPECT_EQ(cells[9].settings.measure, kGPrime);
  EXPECT_EQ(cells[9].settings.threshold, 0.9);  // not 0.7 + 2 * 0.1
  EXPECT_EQ(cells[9].settings.batch_size, 32);  // the value below the heading
  EXPECT_EQ(cells[9].name_of_beginning, "beginning_resnet8");
}

TEST(Sweep, RangesHaveBothEnds) {
  const auto seeds = [](const std::string& range) { return names_of(cells_of("[original]\nseed = " + range)); };
  EXPECT_THAT(seeds("3:5"), ElementsAre("original_seed-3", "original_seed-4", "original_seed-5"));
  EXPECT_THAT(seeds("1:5:2"), ElementsAre("original_seed-1", "original_seed-3", "original_seed-5"));
  EXPECT_THAT(seeds("[7, 1:2]"), ElementsAre("original_seed-7", "original_seed-1", "original_seed-2"));
  EXPECT_THAT(seeds("4:4"), ElementsAre("original"));
  EXPECT_THAT(seeds("10000000000:10000000001"), ElementsAre("original_seed-10000000000", "original_seed-10000000001"));
  EXPECT_EQ(cells_of("strategy = params_1\n[amplified]\nthreshold = 0.7:2.5:0.1").size(), 19u);
  EXPECT_EQ(cells_of("strategy = params_1\n[amplified]\nthreshold = 1:3:0.25").back().settings.threshold, 3.0);
}

TEST(Sweep, WhatMakesNoDifferenceToACellMakesNoCells) {
  const std::vector<SweepCell> cells = cells_of(
      "strategy = params_1\nthreshold = [1, 2]\nmeasure = g\nrandom-types = bn\n[original]\n[random]\n[amplified]");
  EXPECT_THAT(names_of(cells), ElementsAre("original", "random", "amplified_threshold-1", "amplified_threshold-2"));
  EXPECT_EQ(cells[1].settings.random_types, (std::vector<LayerType>{LayerType::kBatchNorm}));
  EXPECT_EQ(cells[2].settings.random_types, RunSettings().random_types);
}

TEST(Sweep, SettingsWithColonsAndCommasAreNoRanges) {
  const std::vector<SweepCell> cells =
      cells_of("[random]\nstrategy = ['2:0.1, 4:0.1:2', params_1]\nepochs = 8\nrandom-types = 'conv,bn'");
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_EQ(cells[0].settings.strategy, "2:0.1, 4:0.1:2");
  EXPECT_EQ(cells[1].settings.random_types, (std::vector<LayerType>{LayerType::kConv, LayerType::kBatchNorm}));
  EXPECT_EQ(cells[0].name, "random_strategy-2-0.1--4-0.1-2");
}

TEST(Sweep, OverridesHoldForEveryCell) {
  const std::vector<SweepCell> cells = cells_of("strategy = params_1\nseed = 1:3\n[original]\n[random]\nseed = 1:2",
                                                {{"seed", "9", "--seed"}, {"epochs", "8", "--epochs"}});
  EXPECT_THAT(names_of(cells), ElementsAre("original", "random"));
  for (const SweepCell& cell : cells) {
    EXPECT_EQ(cell.settings.seed, 9u);
    EXPECT_EQ(cell.settings.epochs, 8);
  }
}

TEST(Sweep, TooManyCellsAreRefusedBeforeOneIsMade) {
  const auto processor_seconds = [begin = std::clock()] {
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  const std::string refusal = "s.toml: more than 100000 cells";
  EXPECT_EQ(sweep_error("strategy = params_1\nseed = 1:400\n[original]\n[amplified]\nthreshold = 1:400"), refusal);
  EXPECT_EQ(sweep_error("seed = 1:9999\ndata-seed = 1:9999\nbatch-size = 1:9999\nthreads = 0:999\n[original]"),
            refusal);
  const double refused = processor_seconds();
  EXPECT_EQ(cells_of("seed = 1:50000\nstrategy = params_1\n[original]\n[random]").size(), 100000u);
  EXPECT_LT(refused, (processor_seconds() - refused) / 4);
  EXPECT_EQ(sweep_error("seed = 1:50001\nstrategy = params_1\n[original]\n[random]"), refusal);
}

TEST(Sweep, BadFilesAreRefusedWithTheirLine) {
  EXPECT_EQ(sweep_error("[original]\nlr = 3"), "s.toml:2: unknown key 'lr'; did you mean 'learning-rate'?");
  EXPECT_EQ(sweep_error("[original]\nepoch = 3"), "s.toml:2: unknown key 'epoch'; did you mean 'epochs'?");
  EXPECT_EQ(sweep_error("[original]\nseed = []"), "s.toml:2: seed: expected a value at least, got an empty list");
  EXPECT_EQ(sweep_error("[amplified]\nthreshold = [1, high]"), "s.toml:2: threshold: expected a number, got 'high'");
  EXPECT_EQ(sweep_error("[amplified]\nthreshold = 1:x"),
            "s.toml:2: expected a range from:to:step of numbers, got '1:x'");
  EXPECT_EQ(sweep_error("[amplified]\nthreshold = 2:1"), "s.toml:2: expected a range that rises, got '2:1'");
  EXPECT_EQ(sweep_error("[amplified]\nthreshold = 1:2:0"), "s.toml:2: expected a step above 0, got the range '1:2:0'");
  EXPECT_EQ(sweep_error("[amplified]\nthreshold = 1:2:3:4"), "s.toml:2: expected a range from:to:step, got '1:2:3:4'");
  EXPECT_THAT(sweep_error("[amplified]\nthreshold = 0:1:1e-9"), HasSubstr("more than"));
  EXPECT_THAT(sweep_error("[original]\nseed = 1:2:0.5"), HasSubstr("s.toml:2: seed: expected a whole number"));
  EXPECT_EQ(sweep_error("[amplified]\nthreshold = 0.5:1.2"),
            "s.toml:2: expected a range whose steps of 1 end at 1.2, got '0.5:1.2', which ends at 0.5");
  EXPECT_EQ(sweep_error("[original]\nthreshold = 1"), "s.toml:2: threshold makes no difference to cells of [original]");
  EXPECT_EQ(sweep_error("[amplified]\nrandom-fraction = 0.2"),
            "s.toml:2: random-fraction makes no difference to cells of [amplified]");
  EXPECT_EQ(sweep_error("[random]\nmeasure = g"), "s.toml:2: measure makes no difference to cells of [random]");
  EXPECT_THAT(sweep_error("[amplified]\nthreshold = 1"),
              HasSubstr("in the cell amplified: --strategy: over 30 epochs 'step' "
                        "amplifies nothing"));
  EXPECT_THAT(sweep_error("epochs = 4\nstrategy = params_1\n[amplified]"),
              AllOf(HasSubstr("amplifies nothing"), HasSubstr("; 6 epochs are enough")));
  EXPECT_THAT(sweep_error("strategy = '1:0.1, 2:0.1:2, 4:0.01'\n[amplified]"),
              AllOf(HasSubstr("amplifies nothing"), testing::Not(HasSubstr("enough"))));  // they would not help
  EXPECT_EQ(sweep_error("epochs = 4\nstrategy = params_1\n[random]"), "(none)");
  EXPECT_THAT(sweep_error("strategy = params_1\nlearning-rate = [1, 2]\n[original]"),
              HasSubstr("of the strategy step only"));
  EXPECT_EQ(sweep_error("[amplified]\nthreshold = [1, 1.0]"), "s.toml:2: threshold: got 1 twice");
  EXPECT_THAT(sweep_error("seed = 1:2\n[original]\nnetwork = [resnet8, resnet9]"),
              StartsWith("s.toml:3: in the cell original_seed-1_resnet9: --network: expected one of"));
  EXPECT_EQ(sweep_error("[original]\nrun-folder = x"), "s.toml:2: run-folder: a cell's folder lies in the sweep's");
  EXPECT_THAT(sweep_error("[original]\nselection = none"), HasSubstr("the headings [original]"));
  EXPECT_THAT(sweep_error("[originals]\nseed = 1"), HasSubstr("s.toml:1: unknown heading [originals]"));
  EXPECT_THAT(sweep_error("seed = 1"), HasSubstr("expected cells under one of the headings"));
  EXPECT_THAT(sweep_error("[original]\nseed = 1\nseed = 2"), HasSubstr("'seed' is already in line 2"));
  EXPECT_THAT(sweep_error("[original]", {{"selection", "none", "--selection"}}), HasSubstr("the headings"));
}

TEST(Sweep, RunsThatBeginAlikeShareTheirBeginning) {
  const std::vector<SweepCell> cells = cells_of(R"(
    network = [resnet8, resnet20]
    strategy = params_1
    seed = 1:2
    [original]
    [random]
    [amplified]
    threshold = [1, 2]
  )");
  const std::vector<SharedBeginning> beginnings = shared_beginnings(cells);
  ASSERT_EQ(beginnings.size(), 4u);  // one per network and seed
  std::set<std::size_t> places;
  for (const SharedBeginning& beginning : beginnings) {
    EXPECT_EQ(beginning.epochs, 50);
    EXPECT_EQ(beginning.settings.selection, SelectionMethod::kNone);
    EXPECT_EQ(beginning.cells.size(), 4u);
    for (const std::size_t cell : beginning.cells) {
      EXPECT_EQ(cells[cell].name_of_beginning, beginning.name);
      EXPECT_GE(shared_epochs(beginning.settings, cells[cell].settings), 50);
      places.insert(cell);
    }
  }
  EXPECT_EQ(places.size(), cells.size());
  EXPECT_EQ(beginnings[0].name, "beginning_resnet8_seed-1");
}

TEST(Sweep, BeginningsThatDifferHaveNamesThatDiffer) {
  const std::vector<SharedBeginning> beginnings = shared_beginnings(cells_of(R"(
    strategy = params_1
    batch-size = 64
    [original]
    [random]
    [amplified]
    batch-size = 32
    threshold = [1, 2]
  )"));
  ASSERT_EQ(beginnings.size(), 2u);
  EXPECT_NE(beginnings[0].settings.batch_size, beginnings[1].settings.batch_size);
  EXPECT_NE(beginnings[0].name, beginnings[1].name);
}

// A beginning must not depend on the amplification of its cells, because more cells may be added to the sweep.
TEST(Sweep, ABeginningIsTheSameWhicheverCellComesFirst) {
  const auto beginning_of = [](const std::string& cells) {
    const std::vector<SharedBeginning> beginnings = shared_beginnings(cells_of("strategy = params_1\n" + cells));
    EXPECT_EQ(beginnings.size(), 1u);
    return to_json(beginnings.at(0).settings);
  };
  const nlohmann::json expected = beginning_of("[amplified]\nthreshold = [1, 2]");
  EXPECT_EQ(beginning_of("[amplified]\nthreshold = [0.5, 1, 2]\nmeasure = [g, g-prime]"), expected);
  EXPECT_EQ(beginning_of("[random]\n[amplified]\nreselect-every = 2"), expected);
}

TEST(Sweep, NothingIsSharedWhereNothingIsAlike) {
  EXPECT_TRUE(shared_beginnings(cells_of("seed = 1:3\nstrategy = params_1\n[amplified]")).empty());
  EXPECT_TRUE(shared_beginnings(cells_of("strategy = 10:0.1:2\n[amplified]\nthreshold = [1, 2]")).empty());
  EXPECT_TRUE(shared_beginnings(cells_of("seed = 1:3\n[original]")).empty());
}

TEST(Sweep, AnOriginalJoinsTheLongestBeginning) {
  const std::vector<SweepCell> cells = cells_of(R"(
    epochs = 150
    [original]
    strategy = params_1
    [amplified]
    strategy = [params_1, '30:0.1, 100:0.1:2, 150:0.01']
    threshold = [1, 2]
  )");
  const std::vector<SharedBeginning> beginnings = shared_beginnings(cells);
  ASSERT_EQ(beginnings.size(), 2u);
  std::map<int, std::size_t> cells_by_epochs;
  for (const SharedBeginning& beginning : beginnings) cells_by_epochs[beginning.epochs] = beginning.cells.size();
  EXPECT_EQ(cells_by_epochs, (std::map<int, std::size_t>{{30, 2}, {50, 3}}));
}

/// A file's name has at most 255 bytes. The folder of a run and its logs are named after the cell.
TEST(Sweep, LongNamesAreShortened) {
  std::string file = "network = resnet8\n[original]\nstrategy = ['1:0.1', '1:0.";
  file += std::string(150, '2') + "', '1:0." + std::string(300, '3') + "1', '1:0." + std::string(300, '3') + "2']";
  const std::vector<SweepCell> cells = cells_of(file);
  ASSERT_EQ(cells.size(), 4u);
  EXPECT_EQ(cells[1].name, "original_strategy-1-0." + std::string(150, '2'));
  for (const std::size_t i : {2, 3}) {
    EXPECT_LE(cells[i].name.size(), 230u);
    EXPECT_LE(cells[i].name_of_beginning.size(), 220u);
    EXPECT_THAT(cells[i].name, StartsWith("original_strategy-1-0." + std::string(150, '3')));
  }
  EXPECT_NE(cells[2].name, cells[3].name);
  // Files with longer names are made for a cell, also while they are saved.
  const ScratchFolder scratch;
  const SweepFolder folder(scratch / "sweep", cells);
  folder.write(file);
  for (const SweepJob& job : folder.jobs()) folder.write_failure(job, "a reason");
  EXPECT_EQ(folder.reports().back().failure, "a reason");
}

TEST(Sweep, AFolderWhosePathIsTooLongIsRefused) {
  const std::vector<SweepCell> cells = cells_of("[original]");
  std::string path = "/tmp";
  while (path.size() < 4050) path += "/0123456789";
  EXPECT_THROW(SweepFolder(path, cells), Error);
}

TEST(Sweep, TheTimeThatIsLeftIsEstimatedFromFiniteTimes) {
  const ScratchFolder scratch;
  const SweepFolder folder(scratch / "sweep", cells_of("epochs = 10\nseed = [1, 2]\n[original]"));
  std::vector<JobReport> reports(2);
  const auto progress = [&](double first, double second) {
    reports[0].seconds_of_epoch = first;
    reports[1].seconds_of_epoch = second;
    return format_sweep_progress(folder, reports, 1);
  };
  EXPECT_EQ(progress(1.0, 3.0), "0/2 cells  about 40.0 s left");
  for (const double none : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(progress(none, 3.0), "0/2 cells  about 1 min 00 s left");
    EXPECT_EQ(progress(none, none), "0/2 cells");
  }
}

TEST(Sweep, AProgressLineIsNotCutInTheMiddleOfAName) {
  const ScratchFolder scratch;
  const SweepFolder folder(scratch / "sweep", cells_of("epochs = 10\nseed = [1, 2]\n[original]"));
  std::vector<JobReport> reports(2);
  for (JobReport& report : reports) report.state = JobState::kRunning;
  const std::string whole = "0/2 cells  original_seed-1 0/10  original_seed-2 0/10";
  EXPECT_EQ(format_sweep_progress(folder, reports, 2), whole);
  EXPECT_EQ(format_sweep_progress(folder, reports, 2, static_cast<int>(whole.size())), whole);
  EXPECT_EQ(format_sweep_progress(folder, reports, 2, static_cast<int>(whole.size()) - 1), "0/2 cells  2 running");
  EXPECT_EQ(format_sweep_progress(folder, reports, 2, 15), "0/2 cells");
}

TEST(Sweep, ABeginningIsExplained) {
  const ScratchFolder scratch;
  const SweepFolder folder(scratch / "sweep", cells_of("strategy = '2:0.1, 4:0.1:2'\n[original]\n[amplified]"));
  JobReport report;
  report.state = JobState::kDone;
  report.epochs_done = 2;
  EXPECT_EQ(format_job(folder.jobs()[0], report), "beginning  done  2/2  (its epochs are the first of several cells)");
  EXPECT_EQ(format_job(folder.jobs()[1], report), "original  done  2/4");
}

TEST(Sweep, RunsOfAnotherProcessAreSaid) {
  const ScratchFolder scratch;
  const SweepFolder folder(scratch / "sweep", cells_of("[original]"));
  const auto said = [&](std::ptrdiff_t of_others, bool quiet) {
    std::ostringstream results, progress;
    ConsoleOptions options;
    options.quiet = quiet;
    options.clock = [] { return 0.0; };
    SweepConsole(folder, 1, results, progress, options).on_begin(of_others);
    return progress.str();
  };
  EXPECT_EQ(said(1, false), "1 of the runs is trained by another process; this one trains the others beside it\n");
  EXPECT_THAT(said(2, false), StartsWith("2 of the runs are trained"));
  EXPECT_EQ(said(0, false), "");
  EXPECT_EQ(said(2, true), "");
}

/// Its epochs are not counted one by one.
TEST(Sweep, StrategiesOfAnyLengthAreReadAtOnce) {
  const std::vector<SweepCell> cells = cells_of("strategy = '1:0.1, 2147483647:0.1:2'\n[original]\n[amplified]");
  EXPECT_EQ(cells.size(), 2u);
  const std::vector<SharedBeginning> beginnings = shared_beginnings(cells);
  ASSERT_EQ(beginnings.size(), 1u);
  EXPECT_EQ(beginnings[0].epochs, 1);
  EXPECT_EQ(shared_epochs(cells[0].settings, cells[0].settings), 2147483647);
}

TEST(Sweep, RangesOfSeedsAreExact) {
  const std::vector<SweepCell> cells = cells_of("[original]\nseed = 18446744073709551613:18446744073709551615");
  ASSERT_EQ(cells.size(), 3u);
  EXPECT_EQ(cells[0].settings.seed, 18446744073709551613u);
  EXPECT_EQ(cells[1].settings.seed, 18446744073709551614u);
  EXPECT_EQ(cells[2].settings.seed, 18446744073709551615u);
}

/// What shared_epochs says epoch by epoch.
TEST(Sweep, SharedEpochsEndAtTheFirstDifference) {
  const auto shared = [](RunSettings a, RunSettings b) {
    a.selection = b.selection = SelectionMethod::kNone;
    EXPECT_EQ(shared_epochs(a, b), shared_epochs(b, a));
    return shared_epochs(a, b);
  };
  RunSettings a, b;
  a.strategy = "4:0.1, 10:0.01", b.strategy = "2:0.1, 6:0.1, 8:0.01";
  EXPECT_EQ(shared(a, b), 4);
  b.strategy = "2:0.1, 4:0.1, 8:0.01";
  EXPECT_EQ(shared(a, b), 8);
  b.warmup_epochs = 3;
  EXPECT_EQ(shared(a, b), 0);
  a.warmup_epochs = 3;
  EXPECT_EQ(shared(a, b), 8);
  a.strategy = "4:0.2, 10:0.01", a.warmup_epochs = 7;  // 0.2 / 8 = 0.1 / 4
  EXPECT_EQ(shared(a, b), 4);
}

TEST(Sweep, ASchedulePerStepIsAnAxis) {
  const std::vector<SweepCell> cells =
      cells_of("strategy = '2:0.1, 4:0.1:2'\nschedule = [phases, cosine]\n[original]\n[amplified]\nthreshold = [1, 2]");
  ASSERT_EQ(cells.size(), 6u);
  const std::vector<SharedBeginning> beginnings = shared_beginnings(cells);
  ASSERT_EQ(beginnings.size(), 2u);
  for (const SharedBeginning& beginning : beginnings) {
    EXPECT_EQ(beginning.cells.size(), 3u);
    for (const std::size_t cell : beginning.cells)
      EXPECT_EQ(cells[cell].settings.schedule, beginning.settings.schedule);
  }
  // The learning rate is an axis of a schedule, as of the strategy step.
  EXPECT_EQ(cells_of("strategy = '2:0.1, 4:0.1:2'\nschedule = cosine\nlearning-rate = [0.1, 0.2]\n[amplified]").size(),
            2u);
  EXPECT_THROW(cells_of("strategy = '2:0.1, 4:0.1:2'\nlearning-rate = [0.1, 0.2]\n[amplified]"), Error);
}

TEST(Sweep, RecipesAreAxes) {
  const std::vector<SweepCell> cells = cells_of(
      "optimizer = [sgd, adamw]\nclip-norm = [0, 1]\ndecay-norm-bias = [true, false]\nbeta1 = [0.9, 0.8]\n[original]");
  EXPECT_EQ(cells.size(), 16u);
  EXPECT_EQ(cells.back().settings.update_rule, UpdateRule::kAdamW);
  EXPECT_EQ(cells.back().settings.clip_norm, 1);
  EXPECT_FALSE(cells.back().settings.decay_norm_bias);
  EXPECT_EQ(cells.back().name, "original_adamw_clip-norm-1_decay-norm-bias-false_beta1-0.8");
}

/// [IGA] sections 4 and 5: 10 originals per network; 19 or 9 thresholds, two measures, two cases.
TEST(Sweep, PresetsAreThePapersExperiments) {
  const std::map<std::string, std::size_t> expected = {
      {"cifar10", 3 * (10 + 1 + 2 * 2 * 19)},        {"cifar10-deep", 2 * (10 + 1 + 2 * 2 * 9)},
      {"cifar100", 3 * (10 + 1 + 2 * 2 * 19)},       {"cifar100-deep", 2 * (10 + 1 + 2 * 2 * 9)},
      {"reselection", 3 * (10 + 1 + 3 * 19)},        {"cifar10-small", 2 * 2 * (1 + 1 + 2 * 2 * 3)},
      {"cifar10-deep-small", 2 * 2 * (1 + 1 + 12)},  {"cifar100-small", 2 * 2 * (1 + 1 + 12)},
      {"cifar100-deep-small", 2 * 2 * (1 + 1 + 12)}, {"reselection-small", 2 * 2 * (1 + 1 + 3 * 3)},
      {"cifar10-answer", 3 * 5 * (1 + 1 + 76)},      {"cifar10-deep-answer", 2 * 5 * (1 + 1 + 36)},
      {"cifar100-answer", 3 * 5 * (1 + 1 + 76)},     {"cifar100-deep-answer", 2 * 5 * (1 + 1 + 36)},
      {"reselection-answer", 3 * 5 * (1 + 1 + 57)},  {"laptop", 5 * (1 + 1 + 2 * 2)},
      {"strong-recipe", 2 * 5 * (1 + 1 + 2 * 3)},    {"strong-recipe-laptop", 5 * (1 + 1 + 2 * 2)}};
  const std::set<std::string> as_printed = {"cifar10", "cifar10-deep", "cifar100", "cifar100-deep", "reselection"};
  std::map<std::string, std::size_t> counts;
  for (const std::string& name : sweep_preset_names()) {
    const std::vector<SweepCell> cells = cells_of(sweep_preset(name));
    counts[name] = cells.size();
    const RunSettings& first = cells[0].settings;
    EXPECT_EQ(first.resolved_strategy().epochs(), name.ends_with("-small")   ? 10
                                                  : name.ends_with("laptop") ? 20
                                                                             : 150)
        << name;
    const bool strong = first.cutout > 0 && first.label_smoothing > 0 && first.schedule == Schedule::kCosine &&
                        first.warmup_steps > 0 && !first.decay_norm_bias;
    EXPECT_EQ(strong, name.starts_with("strong-recipe")) << name;
    // Only the sweeps as printed choose the threshold by the test images.
    EXPECT_EQ(first.validation == 0, as_printed.contains(name)) << name;
    EXPECT_FALSE(shared_beginnings(cells).empty()) << name;
  }
  EXPECT_EQ(counts, expected);
  EXPECT_THROW(sweep_preset("cifar11"), Error);
}

}  // namespace
}  // namespace gradamp
