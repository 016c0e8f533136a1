// SPDX-License-Identifier: MIT
// The race checker, on instrumented kernels. A separate program, since instrumented code is slow.
#include <functional>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/tests/kernels/emulation/emulation_support.h"
#include "gradamp/tests/kernels/emulation/wrong_kernels.h"

namespace gradamp::emulation {
namespace {

using emulated::DeviceArray;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace wrong = emulated::wrong;

constexpr const char* kAtALine = "at wrong_kernels.cu:[0-9]+";

TEST(RaceChecker, IsThere) { EXPECT_NE(access_observer, nullptr); }

struct RacyKernel {
  const char* name;
  const char* memory;
  std::function<void(bool synchronized, const float* input, float* output)> run;
};

class RaceCheckerTest : public EmulationTest, public ::testing::WithParamInterface<RacyKernel> {
 protected:
  RaceCheckerTest() {
    std::vector<float> values(768);
    std::iota(values.begin(), values.end(), 1.0f);
    input.assign(values);
    output.assign(std::vector<float>(256));
  }

  DeviceArray<float> input{768}, output{256};
};

// In every order, whether or not the result is right in it.
TEST_P(RaceCheckerTest, FindsTheRaceInEveryOrder) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { GetParam().run(false, input.data(), output.data()); }),
                AllOf(HasSubstr(std::string("race in ") + GetParam().memory + " memory: block ("),
                      ContainsRegex(std::string(kAtALine) + " (writes|reads) what thread \\([0-9]+,0,0\\)"),
                      ContainsRegex(std::string("(wrote|read) ") + kAtALine + ", and nothing orders the two")));
  });
}

TEST_P(RaceCheckerTest, IsSilentWhereThereIsNone) {
  in_every_order([&] { EXPECT_THAT(error_of([&] { GetParam().run(true, input.data(), output.data()); }), IsEmpty()); });
}

INSTANTIATE_TEST_SUITE_P(, RaceCheckerTest,
                         ::testing::Values(RacyKernel{"reverse", "shared", &wrong::reverse},
                                           RacyKernel{"shift", "shared", &wrong::shift},
                                           RacyKernel{"reverse_warps", "shared", &wrong::reverse_warps},
                                           RacyKernel{"reverse_pairs", "shared", &wrong::reverse_pairs},
                                           RacyKernel{"overwrite", "shared", &wrong::overwrite},
                                           RacyKernel{"refill", "shared", &wrong::refill},
                                           RacyKernel{"refill_async", "shared", &wrong::refill_async},
                                           RacyKernel{"reverse_vectors", "shared", &wrong::reverse_vectors},
                                           RacyKernel{"add_from_blocks", "global",
                                                      [](bool synchronized, const float*, float* output) {
                                                        wrong::add_from_blocks(synchronized, output);
                                                      }}),
                         [](const auto& kernel) { return std::string(kernel.param.name); });

TEST_F(RaceCheckerTest, BlocksThatTakeTurnsNeedFences) {
  const DeviceArray<float> partial(3 * 64), sums(64);
  const DeviceArray<unsigned> counter(std::vector<unsigned>{0});
  in_every_order([&] {
    const auto message = [&](wrong::Fences fences) {
      return error_of([&] { wrong::last_block(fences, partial.data(), counter.data(), sums.data()); });
    };
    EXPECT_THAT(message(wrong::Fences::kByOneThread), IsEmpty());
    EXPECT_THAT(sums.host(), ::testing::Contains(3 * 63.0f));
    EXPECT_THAT(message(wrong::Fences::kByAllThreads), IsEmpty());
    for (const wrong::Fences fences : {wrong::Fences::kNone, wrong::Fences::kOnlyBefore, wrong::Fences::kOnlyAfter})
      EXPECT_THAT(message(fences), AllOf(HasSubstr("race in global memory"), HasSubstr("of another block wrote")));
  });
}

TEST_F(RaceCheckerTest, WhatOneThreadLearntOthersLearnAtABarrier) {
  const DeviceArray<float> partial(3 * 32), copies(3 * 32);
  const DeviceArray<unsigned> counter(std::vector<unsigned>{0});
  for (const bool all_fence : {false, true}) {
    const auto message = [&](wrong::Barrier barrier) {
      return error_of(
          [&] { wrong::previous_block(barrier, all_fence, partial.data(), counter.data(), copies.data()); });
    };
    EXPECT_THAT(message(wrong::Barrier::kOfBlock), IsEmpty());
    EXPECT_THAT(message(wrong::Barrier::kOfWarp), IsEmpty());
    for (const wrong::Barrier barrier : {wrong::Barrier::kNoneBefore, wrong::Barrier::kNoneAfter})
      EXPECT_THAT(message(barrier),
                  ContainsRegex("thread \\([1-9][0-9]*,0,0\\) at wrong_kernels.cu:[0-9]+ reads what"));
  }
}

TEST_F(RaceCheckerTest, VolatileAccessesDoNotRace) {
  in_every_order([&] { EXPECT_THAT(error_of([&] { wrong::volatile_shared(output.data()); }), IsEmpty()); });
}

TEST_F(RaceCheckerTest, FindsReadsOfWhatNothingWrote) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { wrong::unwritten_dynamic_shared(output.data()); }), HasSubstr("has not written"));
    EXPECT_THAT(
        error_of([&] { wrong::unwritten_shared(output.data()); }),
        ContainsRegex("thread \\([0-9]+,0,0\\) at wrong_kernels.cu:[0-9]+ reads shared memory that its block has "
                      "not written"));
  });
}

TEST_F(RaceCheckerTest, FindsReadsOfCopiesThatNobodyWaitedFor) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { wrong::async_copy(true, input.data(), output.data()); }), IsEmpty());
    EXPECT_THAT(error_of([&] { wrong::async_copy(false, input.data(), output.data()); }),
                ContainsRegex("at wrong_kernels.cu:[0-9]+ reads where an asynchronous copy, begun by thread "
                              "\\([0-9]+,0,0\\) at wrong_kernels.cu:[0-9]+, may not have arrived"));
  });
}

// Two launches are ordered, whatever they do, and an Error of one does not affect the next.
TEST_F(RaceCheckerTest, LaunchesDoNotRace) {
  EXPECT_THAT(error_of([&] { wrong::reverse(false, input.data(), output.data()); }), HasSubstr("race"));
  for (int i = 0; i < 2; ++i)
    EXPECT_THAT(error_of([&] { wrong::reverse(true, input.data(), output.data()); }), IsEmpty());
}

}  // namespace
}  // namespace gradamp::emulation
