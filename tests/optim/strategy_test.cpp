// SPDX-License-Identifier: MIT
// Every number of [IGA] section 4's schedules, scaling, reselection windows and refused strategies.
#include "gradamp/optim/strategy.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/tests/core/error_of.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// The epochs whose plan has `flag` set.
std::vector<int> epochs_with(const Strategy& strategy, bool EpochPlan::*flag) {
  std::vector<int> epochs;
  for (int epoch = 1; epoch <= strategy.epochs(); ++epoch)
    if (strategy.plan(epoch).*flag) epochs.push_back(epoch);
  return epochs;
}

std::vector<int> ends(const Strategy& strategy) {
  std::vector<int> result;
  for (const Phase& phase : strategy.phases) result.push_back(phase.end_epoch);
  return result;
}

TEST(StrategyTest, Params1IsThePapers) {
  const Strategy strategy = params_1();
  EXPECT_EQ(to_string(strategy), "50:0.1, 100:0.1:2, 130:0.01:2, 150:0.01");
  for (int epoch = 1; epoch <= 150; ++epoch) {
    const EpochPlan plan = strategy.plan(epoch);
    EXPECT_EQ(plan.epoch, epoch);
    EXPECT_EQ(plan.learning_rate, epoch <= 100 ? 0.1 : 0.01);
    EXPECT_EQ(plan.phase, epoch <= 50 ? 0 : epoch <= 100 ? 1 : epoch <= 130 ? 2 : 3);
    EXPECT_EQ(plan.factor, epoch > 50 && epoch <= 130 ? 2.0 : 1.0);
    EXPECT_EQ(plan.amplified, (epoch >= 52 && epoch <= 100) || (epoch >= 102 && epoch <= 130)) << epoch;
    EXPECT_EQ(plan.window_epochs, epoch == 51 || epoch == 101 ? 1 : 0);
  }
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::analyzed), ElementsAre(51, 101));
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::clear_sums), ElementsAre(51, 101));
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::select), ElementsAre(51, 101));
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::phase_start), ElementsAre(1, 51, 101, 131));
}

TEST(StrategyTest, Params2IsThePapers) {
  const Strategy strategy = params_2();
  EXPECT_EQ(to_string(strategy), "10:0.1, 100:0.1:2, 145:0.01:2, 150:0.01");
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::analyzed), ElementsAre(11, 101));
  EXPECT_EQ(epochs_with(strategy, &EpochPlan::amplified).size(), 89u + 44u);  // epochs 12-100 and 102-145
}

TEST(StrategyTest, ReselectionReplacesTheSelectionAtTheEndOfEachWindow) {
  Strategy strategy = parse_strategy("1:0.1, 9:0.1:2, 10:0.1");
  strategy.reselect_every = 2;  // windows 3-4, 5-6, 7-8; 9 is left over
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::select), ElementsAre(2, 4, 6, 8));
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::clear_sums), ElementsAre(2, 3, 5, 7));
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::analyzed), ElementsAre(2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::amplified), ElementsAre(3, 4, 5, 6, 7, 8, 9));
  EXPECT_EQ(strategy.plan(2).window_epochs, 1);
  EXPECT_EQ(strategy.plan(5).window_epochs, 1);
  EXPECT_EQ(strategy.plan(6).window_epochs, 2);

  strategy.reselect_every = 5;  // one window, 3-7
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::select), ElementsAre(2, 7));
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::analyzed), ElementsAre(2, 3, 4, 5, 6, 7));
  strategy.reselect_every = 1;  // the phase could not use a selection at the end of epoch 9
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::select), ElementsAre(2, 3, 4, 5, 6, 7, 8));
  strategy.reselect_every = 7;  // the window 3-9 ends with the phase
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::analyzed), ElementsAre(2));
  strategy.reselect_every = 100;
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::analyzed), ElementsAre(2));
}

TEST(StrategyTest, AWindowLongerThanTheRunNeverEnds) {
  for (const std::int64_t window : {std::int64_t{100}, std::int64_t{2147483647}, std::int64_t{9223372036854775807}}) {
    Strategy strategy = parse_strategy("1:0.1, 9:0.1:2, 10:0.1");
    strategy.reselect_every = static_cast<decltype(strategy.reselect_every)>(window);
    EXPECT_THAT(epochs_with(strategy, &EpochPlan::analyzed), ElementsAre(2)) << window;
    EXPECT_THAT(epochs_with(strategy, &EpochPlan::select), ElementsAre(2)) << window;
  }
}

TEST(StrategyTest, ScalesToTheLargestNumberOfEpochs) {
  const Strategy strategy = parse_strategy("2147483645:0.1:2, 2147483646:0.1:2, 2147483647:0.1:2");
  const Strategy scaled = strategy.scale_to(2147483646);
  ASSERT_EQ(scaled.phases.size(), 3u);
  EXPECT_EQ(scaled.phases[0].end_epoch, 2147483642);
  EXPECT_EQ(scaled.phases[1].end_epoch, 2147483644);
  EXPECT_EQ(scaled.phases[2].end_epoch, 2147483646);
}

TEST(StrategyTest, ReselectionOfThePaperEveryTwoEpochs) {
  Strategy strategy = params_1();
  strategy.reselect_every = 2;
  const std::vector<int> selects = epochs_with(strategy, &EpochPlan::select);
  std::vector<int> expected = {51};
  for (int epoch = 53; epoch <= 99; epoch += 2) expected.push_back(epoch);
  expected.push_back(101);
  for (int epoch = 103; epoch <= 129; epoch += 2) expected.push_back(epoch);
  EXPECT_EQ(selects, expected);
  EXPECT_FALSE(strategy.plan(100).analyzed);  // half a window, whose selection the phase could not use
  EXPECT_FALSE(strategy.plan(101).amplified);
}

TEST(StrategyTest, AnAmplifyingPhaseOfOneEpochIsOnlyAnalyzed) {
  const Strategy strategy = parse_strategy("1:0.1:2, 2:0.1");
  EXPECT_TRUE(strategy.plan(1).select);
  EXPECT_THAT(epochs_with(strategy, &EpochPlan::amplified), IsEmpty());
}

TEST(StrategyTest, ScalesToAnyNumberOfEpochs) {
  EXPECT_EQ(params_1().scale_to(150), params_1());
  EXPECT_THAT(ends(params_1().scale_to(300)), ElementsAre(100, 200, 260, 300));
  EXPECT_THAT(ends(params_1().scale_to(15)), ElementsAre(5, 10, 13, 15));
  EXPECT_THAT(ends(params_1().scale_to(10)), ElementsAre(3, 7, 9, 10));
  EXPECT_THAT(ends(params_1().scale_to(6)), ElementsAre(1, 3, 5, 6));  // the smallest number with two amplified phases
  EXPECT_EQ(params_1().least_epochs(), 6);
  EXPECT_THAT(ends(params_1().scale_to(5)), ElementsAre(1, 3, 4, 5));  // the second only measures
  EXPECT_THAT(ends(params_1().scale_to(4)), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(ends(params_2().scale_to(7)), ElementsAre(1, 4, 6, 7));
  const Strategy scaled = params_1().scale_to(20);
  EXPECT_EQ(scaled.phases[1].learning_rate, 0.1);
  EXPECT_TRUE(scaled.phases[2].amplify);
  EXPECT_EQ(scaled.phases[2].factor, 2);
  Strategy reselecting = params_1();
  reselecting.reselect_every = 5;
  EXPECT_EQ(reselecting.scale_to(30).reselect_every, 5);
}

TEST(StrategyTest, AScaledStrategyKeepsEveryPhase) {
  for (const Strategy& original : {params_1(), params_2(), parse_strategy("98:1, 99:1:2, 100:0.5:3")}) {
    for (int epochs = 6; epochs <= 400; ++epochs) {
      const Strategy scaled = original.scale_to(epochs);
      EXPECT_NO_THROW(scaled.validate());
      EXPECT_EQ(scaled.epochs(), epochs);
      std::set<int> amplified_phases;
      for (int epoch = 1; epoch <= epochs; ++epoch)
        if (scaled.plan(epoch).amplified) amplified_phases.insert(scaled.plan(epoch).phase);
      EXPECT_EQ(amplified_phases.size(), 2u) << to_string(scaled);
    }
  }
}

TEST(StrategyTest, RefusesToScaleBelowOneEpochAPhase) {
  EXPECT_THAT(error_of([] { params_1().scale_to(3); }), HasSubstr("4 phases need 4 epochs at least, got 3"));
  EXPECT_THAT(error_of([] { params_1().scale_to(0); }), HasSubstr("got 0"));
}

TEST(StrategyTest, ReadsAndWritesText) {
  EXPECT_EQ(parse_strategy("params_1"), params_1());
  EXPECT_EQ(parse_strategy(" params_2 "), params_2());
  EXPECT_EQ(parse_strategy("50:0.1,100 : 0.1 : x2, 130:1e-2:2\n,150:.01"), params_1());
  const Strategy strategy = parse_strategy("3:0.125, 7:0.0625:1.5, 9:1e-05:1");
  EXPECT_TRUE(strategy.phases[2].amplify);  // a factor of 1 measures
  EXPECT_EQ(parse_strategy(to_string(strategy)), strategy);
  EXPECT_EQ(parse_strategy(to_string(params_2())), params_2());
}

TEST(StrategyTest, RefusesWhatIsNoStrategy) {
  for (const char* text : {"", " ", ",", "5:0.1,", "5", "5:", ":0.1", "5:0.1:", "5:0.1:2:3", "5.5:0.1", "5:0.1a",
                           "5 0:0.1", "5:0.1:xx2", "params_3", "5:0.1 10:0.1"}) {
    EXPECT_THAT(error_of([&] { parse_strategy(text); }), HasSubstr("cannot read the phase")) << text;
  }
  EXPECT_THAT(error_of([] { parse_strategy("5:0.1, 5:0.1"); }), HasSubstr("got 5 after 5"));
  EXPECT_THAT(error_of([] { parse_strategy("0:0.1"); }), HasSubstr("got 0 after 0"));
  EXPECT_THAT(error_of([] { parse_strategy("-1:0.1"); }), HasSubstr("got -1 after 0"));
  EXPECT_THAT(error_of([] { parse_strategy("5:0"); }), HasSubstr("learning rate above 0 up to epoch 5, got 0"));
  EXPECT_THAT(error_of([] { parse_strategy("5:nan"); }), HasSubstr("learning rate above 0"));
  EXPECT_THAT(error_of([] { parse_strategy("5:0.1:-2"); }), HasSubstr("factor above 0 up to epoch 5, got -2"));
  EXPECT_THAT(error_of([] { parse_strategy("5:0.1:inf"); }), HasSubstr("factor above 0"));
  EXPECT_THAT(error_of([] { Strategy{}.validate(); }), HasSubstr("got no phase"));
  EXPECT_THAT(error_of([] { Strategy{{{5, 0.1, false, 2}}}.validate(); }), HasSubstr("does not amplify"));
  EXPECT_THAT(error_of([] { Strategy{{{5, 0.1}}, -1}.validate(); }), HasSubstr("got -1"));
}

TEST(StrategyTest, RefusesEpochsOutsideIt) {
  EXPECT_THAT(error_of([] { params_1().plan(0); }), HasSubstr("an epoch from 1 to 150, got 0"));
  EXPECT_THAT(error_of([] { params_1().plan(151); }), HasSubstr("got 151"));
}

}  // namespace
}  // namespace gradamp
