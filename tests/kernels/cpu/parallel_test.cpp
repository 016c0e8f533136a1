// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace gradamp {
namespace {

const std::vector<int> kThreads = {1, 2, 3, 4, 5, 6, 7, 40, 64};
const std::vector<std::int64_t> kCounts = {-1, 0, 1, 2, 7, 8, 31, 64, 100, 1001, 20'000};

std::vector<int> once(std::int64_t count) {
  return std::vector<int>(static_cast<std::size_t>(std::max(count, std::int64_t{0})), 1);
}

TEST(Parallel, ForVisitsEachIndexOnce) {
  for (const int threads : kThreads)
    for (const std::int64_t count : kCounts) {
      std::vector<int> visits(once(count).size());
      parallel_for(threads, count, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
      EXPECT_EQ(visits, once(count)) << threads << " threads";
    }
}

TEST(Parallel, TasksVisitEachIndexOnce) {
  for (const int threads : kThreads)
    for (const std::int64_t count : kCounts) {
      std::vector<int> visits(once(count).size());
      std::vector<std::atomic<int>> inside(static_cast<std::size_t>(threads));
      parallel_tasks(threads, count, [&](std::int64_t i, int thread) {
        ASSERT_TRUE(thread >= 0 && thread < threads);
        EXPECT_EQ(inside[static_cast<std::size_t>(thread)]++, 0);  // scratch memory of `thread` is this task's alone
        ++visits[static_cast<std::size_t>(i)];
        --inside[static_cast<std::size_t>(thread)];
      });
      EXPECT_EQ(visits, once(count)) << threads << " threads";
    }
}

TEST(Parallel, RangesDependOnTheGrainAlone) {
  for (const int threads : kThreads) {
    std::vector<std::int64_t> ends(7);
    parallel_ranges(threads, 6 * 100 + 1, 100, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(begin % 100, 0);
      ends[static_cast<std::size_t>(begin / 100)] = end;
    });
    EXPECT_EQ(ends, (std::vector<std::int64_t>{100, 200, 300, 400, 500, 600, 601}));
  }
}

TEST(Parallel, OneThreadCanTakeAllShares) {
  SharedRanges ranges(1000, 3);
  SharedRanges::Cursor cursor = ranges.cursor(1);
  std::vector<int> visits(1000);
  bool began_with_its_own = false;
  for (auto range = ranges.take(cursor); range.begin < range.end; range = ranges.take(cursor)) {
    if (visits == std::vector<int>(1000)) began_with_its_own = range.begin == 333;
    EXPECT_LE(range.end - range.begin, 1000 / 3 / 8 + 1);
    for (std::int64_t i = range.begin; i < range.end; ++i) ++visits[static_cast<std::size_t>(i)];
  }
  EXPECT_TRUE(began_with_its_own);
  EXPECT_EQ(visits, once(1000));
  const auto after = ranges.take(cursor);
  EXPECT_EQ(after.begin, after.end);
}

TEST(Parallel, ALoopInsideATaskHasItsOwnScratch) {
  std::atomic<int> tasks = 0;
  parallel_tasks(4, 40, [&](std::int64_t, int) {
    std::vector<int> scratch(1);  // one thread
    parallel_tasks(1, 10, [&](std::int64_t, int thread) { ++scratch[static_cast<std::size_t>(thread)]; });
    parallel_tasks(4, 10, [&](std::int64_t, int thread) {
      ASSERT_EQ(thread, 0);
      ++scratch[0];
    });
    parallel_for(4, 10, [&](std::int64_t) { ++scratch[0]; });
    EXPECT_EQ(scratch[0], 30);
    ++tasks;
  });
  EXPECT_EQ(tasks, 40);
}

TEST(Parallel, AnExceptionSkipsTheTasksThatHaveNotBegun) {
  constexpr int kCount = 100'000;
  for (const int threads : {1, 2, 7, 40}) {
    std::atomic<int> begun = 0;
    const auto fail_first = [&](std::int64_t) {
      if (begun++ == 0) throw std::runtime_error("task");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // gives the other thread time to end the loop
    };
    EXPECT_THROW(parallel_tasks(threads, kCount, [&](std::int64_t i, int) { fail_first(i); }), std::runtime_error);
    EXPECT_LT(begun, kCount / 10);
    begun = 0;
    EXPECT_THROW(parallel_for(threads, 80 * threads, fail_first), std::runtime_error);  // pieces of 10
    EXPECT_LT(begun, 40 * threads);
    begun = 0;
    parallel_for(threads, 1000, [&](std::int64_t) { ++begun; });
    EXPECT_EQ(begun, 1000);
  }
}

}  // namespace
}  // namespace gradamp
