// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/signals.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/core/thread_pool.h"

namespace gradamp {
namespace {

TEST(Signals, StopIsRememberedAndHandlersAreRestored) {
  const auto before = std::signal(SIGTERM, SIG_IGN);
  {
    const StopSignals signals;
    EXPECT_FALSE(signals.stop());
    EXPECT_THROW(StopSignals(), Error);
    std::raise(SIGTERM);
    std::raise(SIGUSR1);
    EXPECT_TRUE(signals.stop());
    EXPECT_EQ(signals.received(), SIGTERM);
  }
  {
    const StopSignals signals;
    EXPECT_FALSE(signals.stop());
    EXPECT_EQ(signals.received(), 0);
  }
  EXPECT_EQ(std::signal(SIGTERM, before), SIG_IGN);
}

TEST(SignalsDeathTest, SecondInterruptKills) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        const StopSignals signals;
        std::raise(SIGINT);
        std::raise(SIGINT);  // of `timeout -s INT`, which sends it to the process and to its group
        std::fputs("alive\n", stderr);
        std::this_thread::sleep_for(std::chrono::milliseconds(250));
        if (signals.stop()) std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "^alive\ngradamp: ended at once by a second signal, SIGINT; [^\n]*\n$");
  EXPECT_EXIT(
      {
        const StopSignals signals;
        std::raise(SIGTERM);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "^gradamp: ended at once by a second signal, SIGINT; [^\n]*\n$");
}

/// A job on two threads that never ends.
[[noreturn]] void hang() {
  run_on_threads(2, [](int) {
    while (true) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  std::abort();
}

TEST(SignalsDeathTest, SecondTerminateKills) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        const StopSignals signals;
        std::raise(SIGUSR1);  // Slurm's warning does not count
        std::raise(SIGTERM);
        std::raise(SIGTERM);  // nor does one that a sweep passes on at the same time
        std::fputs("alive\n", stderr);
        std::thread([] {
          std::this_thread::sleep_for(std::chrono::milliseconds(1100));
          ::kill(::getpid(), SIGTERM);
        }).detach();
        hang();
      },
      testing::KilledBySignal(SIGTERM), "^alive\ngradamp: ended at once by a second SIGTERM; [^\n]*\n$");
}

TEST(SignalsDeathTest, TerminateEndsAJobThatHangs) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        const StopSignals signals(1);
        ::alarm(60);
        std::raise(SIGTERM);
        hang();
      },
      testing::KilledBySignal(SIGTERM), "^gradamp: ended at once by SIGTERM, after 1 s without progress; ");
}

TEST(SignalsDeathTest, TerminateWaitsWhileJobsBegin) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        {
          const StopSignals signals(2);
          std::raise(SIGTERM);
          for (int i = 0; i < 45; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            run_on_threads(2, [](int) {});
          }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // the object is gone, and with it the limit
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace gradamp
