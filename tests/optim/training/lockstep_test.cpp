// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/lockstep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/tests/core/error_of.h"

namespace gradamp {
namespace {

using test::error_of;

TEST(Lockstep, FunctionsGoOnInTurnFromMeetingToMeeting) {
  std::string trace;
  int turns = 0;
  Lockstep lockstep(3, [&](int) { ++turns; });
  for (int repetition = 0; repetition < 2; ++repetition) {
    trace.clear();
    lockstep.run([&](int i) {
      for (const char* part : {"a", "b"}) {
        trace += fmt::format("{}{} ", part, i);
        lockstep.meet(i, [&] { trace += fmt::format("({}) ", i); });
      }
      trace += fmt::format("end{} ", i);
    });
    EXPECT_EQ(trace, "a0 a1 a2 (2) b0 b1 b2 (2) end0 end1 end2 ");
  }
  EXPECT_EQ(turns, 2 * 3 * 3);
}

TEST(Lockstep, OfOneNeverWaits) {
  Lockstep lockstep(1, [](int) {});
  int meetings = 0;
  lockstep.run([&](int i) {
    for (int k = 0; k < 3; ++k) lockstep.meet(i, [&] { ++meetings; });
  });
  EXPECT_EQ(meetings, 3);
}

/// Each function says how it ended, if not by reaching its end.
struct Witness {
  std::string& trace;
  int i;
  bool at_end = false;
  ~Witness() {
    if (!at_end) trace += fmt::format("{} ended ", i);
  }
};

TEST(Lockstep, OneThatThrowsEndsTheOthersInTurn) {
  for (const int thrower : {0, 1, 2}) {
    std::string trace;
    Lockstep lockstep(3, [](int) {});
    EXPECT_EQ(error_of([&] {
                lockstep.run([&](int i) {
                  Witness witness{trace, i};
                  lockstep.meet(i, [] {});
                  if (i == thrower) fail("function {} has failed", i);
                  lockstep.meet(i, [&] { trace += "work "; });
                  witness.at_end = true;
                });
              }),
              fmt::format("function {} has failed", thrower));
    EXPECT_EQ(trace, thrower == 0   ? "0 ended 1 ended 2 ended "
                     : thrower == 1 ? "1 ended 2 ended 0 ended "
                                    : "2 ended 0 ended 1 ended ");
  }
}

TEST(Lockstep, TheWorkOfAMeetingMayThrow) {
  Lockstep lockstep(2, [](int) {});
  EXPECT_EQ(error_of([&] { lockstep.run([&](int i) { lockstep.meet(i, [] { fail("no memory"); }); }); }), "no memory");
}

TEST(Lockstep, AllMeetEquallyOften) {
  for (const int often : {0, 1, 2}) {
    Lockstep lockstep(3, [](int) {});
    const std::string error = error_of([&] {
      lockstep.run([&](int i) {
        for (int k = 0; k < (i == often ? 2 : 1); ++k) lockstep.meet(i, [] {});
      });
    });
    EXPECT_THAT(error, testing::StartsWith("expected the same batch norms of each shard, got "));
  }
}

// A sanitizer needs memory of its own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/// Forbids this process more memory than it has, but for `bytes`.
void limit_memory(std::size_t bytes) {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  statm >> pages;
  const rlim_t limit = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + bytes;
  const rlimit limits{limit, limit};
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limits), 0);
}

TEST(Lockstep, WithoutThreadsForAllNoneBegins) {
  // Each thread has a stack of some MiB.
  const auto run = [] {
    int begun = 0;
    Lockstep lockstep(256, [&](int) { ++begun; });
    limit_memory(std::size_t{64} << 20);
    const std::string error = error_of([&] { lockstep.run([](int) {}); });
    std::fprintf(stderr, "%s (%d begun)\n", error.c_str(), begun);
    std::_Exit(0);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0),
              "256 shards are computed side by side by as many threads, of which [0-9]+ could be started: .*; use "
              "fewer shards or permit more threads \\(0 begun\\)");
}

#endif

}  // namespace
}  // namespace gradamp
