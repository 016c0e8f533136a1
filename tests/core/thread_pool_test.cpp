// SPDX-License-Identifier: MIT
#include "gradamp/core/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace gradamp {
namespace {

/// Calls task(i, thread) for each i in [0, count), in a job of `threads` threads.
template <typename Task>
void run_tasks(int threads, int count, const Task& task) {
  std::atomic<int> next = 0;
  run_on_threads(threads, [&](int thread) {
    for (int i = next++; i < count; i = next++) task(i, thread);
  });
}

/// Waits until `condition` holds, for example until a helper has come. False after a minute, so that no test hangs.
template <typename Condition>
bool wait_until(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

/// Whether all threads of a job come. A job has no helpers if the pool has found the processors busy, so it tries
/// again.
bool all_come(int threads) {
  return wait_until([threads] {
    std::atomic<int> present = 0;
    run_on_threads(threads, [&](int) {
      ++present;
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
      while (present < threads && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    });
    return present == threads;
  });
}

/// Runs `body` in a child process. Returns the exit code, or minus the signal that ended the child: SIGALRM if it
/// hangs.
template <typename Body>
int in_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(ThreadPool, EachTaskRunsOnce) {
  for (const int threads : {1, 2, 3, 4, 5, 6, 7, 64})
    for (const int count : {0, 1, 2, 63, 1000}) {
      std::vector<int> runs(static_cast<std::size_t>(count));  // plain: the pool must make them visible
      run_tasks(threads, count, [&](int i, int) { ++runs[static_cast<std::size_t>(i)]; });
      EXPECT_EQ(runs, std::vector<int>(static_cast<std::size_t>(count), 1)) << threads << " threads";
    }
}

TEST(ThreadPool, EachThreadComesAtMostOnceAndTheCallerAlways) {
  constexpr int kThreads = 7;
  const std::thread::id caller = std::this_thread::get_id();
  for (int repetition = 0; repetition < 1000; ++repetition) {
    std::array<std::atomic<int>, kThreads> calls{};
    run_on_threads(kThreads, [&](int thread) {
      ASSERT_TRUE(thread >= 0 && thread < kThreads);
      ++calls[static_cast<std::size_t>(thread)];
      EXPECT_EQ(thread == 0, std::this_thread::get_id() == caller);
    });
    EXPECT_EQ(calls[0], 1);
    for (const std::atomic<int>& count : calls) EXPECT_LE(count, 1);
  }
}

TEST(ThreadPool, AllHelpersCome) {
  for (const int threads : {2, 7, 64}) EXPECT_TRUE(all_come(threads)) << threads << " threads";
}

TEST(ThreadPool, HelpersWakeFromSleep) {
  for (int repetition = 0; repetition < 3; ++repetition) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // longer than they spin
    EXPECT_TRUE(all_come(3));
  }
}

TEST(ThreadPool, TheCallerWaitsForHelpersThatHaveBegun) {
  int result = 0;
  EXPECT_TRUE(wait_until([&] {
    std::atomic<bool> begun = false;
    run_on_threads(2, [&](int thread) {
      if (thread == 0) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
        while (!begun && std::chrono::steady_clock::now() < end) std::this_thread::yield();
        return;
      }
      begun = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the caller spins, then sleeps
      result = 1;
    });
    EXPECT_EQ(result, begun ? 1 : 0);
    return begun.load();
  }));
}

/// Runs a job of two threads in which the caller waits up to 30 ms for the helper, which then stays for `stay`. Returns
/// whether the helper came.
bool helper_comes(std::chrono::milliseconds stay) {
  std::atomic<bool> begun = false;
  run_on_threads(2, [&](int thread) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
    while (thread == 0 && !begun && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    if (thread == 0) return;
    begun = true;
    std::this_thread::sleep_for(stay);
  });
  return begun;
}

TEST(ThreadPool, WorksAloneAfterAHelperHasLostItsProcessor) {
  using namespace std::chrono_literals;
  EXPECT_TRUE(wait_until([] { return helper_comes(0ms) && helper_comes(100ms) && !helper_comes(0ms); }));
  EXPECT_TRUE(all_come(2));  // it tries again
}

TEST(ThreadPool, ManyTinyJobs) {
  for (const int threads : {2, 7}) {
    std::int64_t sum = 0;
    for (int job = 0; job < 100'000; ++job) {
      std::array<int, 4> values{};
      run_tasks(threads, 4, [&](int i, int) { values[static_cast<std::size_t>(i)] = job + i; });
      for (const int value : values) sum += value;
    }
    EXPECT_EQ(sum, 4 * (std::int64_t{99'999} * 100'000 / 2) + 6 * 100'000);
  }
}

TEST(ThreadPool, SixtyFourThreads) {
  EXPECT_TRUE(all_come(64));
  for (int job = 0; job < 200; ++job) {
    std::atomic<int> sum = 0;
    run_tasks(64, 500, [&](int i, int thread) {
      EXPECT_TRUE(thread >= 0 && thread < 64);
      sum += i;
    });
    EXPECT_EQ(sum, 500 * 499 / 2);
  }
}

TEST(ThreadPool, MoreThreadsThanThePoolCanHave) {
  std::atomic<int> tasks = 0;
  run_tasks(3 * kMaxPoolThreads, 100, [&](int, int thread) {
    EXPECT_LT(thread, kMaxPoolThreads);
    ++tasks;
  });
  EXPECT_EQ(tasks, 100);
}

TEST(ThreadPool, AJobInsideABodyRunsOnItsThreadAlone) {
  std::atomic<int> inner_tasks = 0;
  run_tasks(4, 100, [&](int, int) {
    const std::thread::id outer = std::this_thread::get_id();
    run_tasks(4, 10, [&](int, int thread) {
      EXPECT_EQ(thread, 0);
      EXPECT_EQ(std::this_thread::get_id(), outer);
      ++inner_tasks;
    });
  });
  EXPECT_EQ(inner_tasks, 1000);
}

TEST(ThreadPool, ThreadsOfTheProgramUseItAtTheSameTime) {
  std::array<std::int64_t, 4> sums{};
  std::vector<std::thread> callers;
  for (std::int64_t& sum : sums)
    callers.emplace_back([&sum] {
      for (int job = 0; job < 5000; ++job) {
        std::array<int, 8> values{};
        run_tasks(3, 8, [&](int i, int) { values[static_cast<std::size_t>(i)] = i + 1; });
        for (const int value : values) sum += value;
      }
    });
  for (std::thread& caller : callers) caller.join();
  for (const std::int64_t sum : sums) EXPECT_EQ(sum, 5000 * 36);
}

TEST(ThreadPool, WhileOneThreadHasItOthersComputeAlone) {
  std::atomic<bool> other_is_done = false;
  run_on_threads(2, [&](int thread) {
    if (thread != 0) return;
    std::thread([&] {
      int calls = 0;
      run_on_threads(2, [&](int own) { calls += own == 0 ? 1 : 100; });
      EXPECT_EQ(calls, 1);
      other_is_done = true;
    }).join();
  });
  EXPECT_TRUE(other_is_done);
}

/// The message of the exception that a job throws.
template <typename Body>
std::string thrown_by(const Body& body) {
  try {
    run_on_threads(2, body);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(ThreadPool, ExceptionsReachTheCaller) {
  EXPECT_EQ(thrown_by([](int thread) {
              if (thread == 0) throw std::runtime_error("caller");
            }),
            "caller");
  EXPECT_TRUE(wait_until([] {  // until the helper comes
    const std::string message = thrown_by([](int thread) {
      if (thread == 1) throw std::runtime_error("helper");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    });
    return message == "helper";
  }));
  // Both may throw. An inner job passes its own on.
  EXPECT_EQ(thrown_by([](int) { throw std::runtime_error("any"); }), "any");
  EXPECT_EQ(thrown_by([&](int) { run_on_threads(2, [](int) { throw std::runtime_error("inner"); }); }), "inner");

  EXPECT_TRUE(all_come(2));  // it is still usable
}

TEST(ThreadPool, HelpersHandleNoSignalsOfTheProgram) {
  std::atomic<int> helpers = 0;
  EXPECT_TRUE(wait_until([&] {
    run_on_threads(2, [&](int thread) {
      if (thread == 1) ++helpers;
      if (thread == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      for (const int signal : {SIGINT, SIGTERM, SIGALRM, SIGUSR1}) EXPECT_EQ(sigismember(&mask, signal), thread);
      EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);  // the emulator turns it into an error
    });
    return helpers > 0;
  }));
}

/// 0 if jobs with helpers work in this process.
int use_pool() { return all_come(3) ? 0 : 1; }

TEST(ThreadPool, AChildOfAForkBeginsWithAnEmptyPool) {
  ASSERT_EQ(use_pool(), 0);
  EXPECT_EQ(in_child(use_pool), 0);
  EXPECT_EQ(in_child([] { return in_child(use_pool); }), 0);
  EXPECT_EQ(use_pool(), 0);
}

TEST(ThreadPool, AForkWhileAnotherThreadHasThePool) {
  ASSERT_EQ(use_pool(), 0);  // the helpers exist: a sanitizer's runtime allows no fork while a thread begins
  std::atomic<bool> stop = false, begun = false;
  std::thread other([&] {
    while (!stop) {
      run_tasks(3, 10, [](int, int) {});
      begun = true;
    }
  });
  EXPECT_TRUE(wait_until([&] { return begun.load(); }));
  for (int repetition = 0; repetition < 20; ++repetition) EXPECT_EQ(in_child(use_pool), 0);
  stop = true;
  other.join();
}

TEST(ThreadPool, AForkInsideABody) {
  ASSERT_EQ(use_pool(), 0);  // as above
  run_on_threads(3, [&](int thread) {
    if (thread == 0) {
      EXPECT_EQ(in_child(use_pool), 0);
    }
  });
}

TEST(ThreadPool, ProgressIsCounted) {
  const std::uint64_t before = progress_count();
  run_on_threads(1, [](int) {});
  run_on_threads(2, [](int) {});
  count_progress();
  EXPECT_EQ(progress_count(), before + 3);
}

}  // namespace
}  // namespace gradamp
