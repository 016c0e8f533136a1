// SPDX-License-Identifier: MIT
#include "gradamp/core/thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <thread>

#include "gradamp/core/processors.h"

namespace gradamp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kSpinTime{20};
constexpr int kSpinsPerClock = 16;  // reads of the word per read of the clock
// A wait of the caller that can be the sign of a busy machine, and for how long the pool then has no helpers.
constexpr Clock::duration kLongWait = std::chrono::microseconds(200);
constexpr Clock::duration kMinPause = std::chrono::milliseconds(2), kMaxPause = std::chrono::milliseconds(100);

void pause_processor() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

/// Calls done() until it returns true. False if it has not within kSpinTime.
template <typename Done>
bool spin_until(const Done& done) {
  const Clock::time_point end = Clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kSpinsPerClock; ++i) {
      if (done()) return true;
      pause_processor();
    }
  } while (Clock::now() < end);
  return false;
}

/// A thread sleeps here. The flag is 1 from its decision to sleep until another thread wakes it.
///
/// Each side writes (the flag; what is awaited) and then reads what the other has written. The writes are exchanges: if
/// they were stores, qemu, which emulates aarch64, could move the read before them, and both would see the old values.
class Bed {
 public:
  /// Sleeps unless `awaited` is already true; may also return early. The other thread makes it true before it calls
  /// wake().
  template <typename Awaited>
  void sleep_until(const Awaited& awaited) {
    asleep_.exchange(1, std::memory_order_seq_cst);
    // The kernel compares the flag again, so a wake-up before the system call is not lost.
    if (!awaited()) futex(FUTEX_WAIT_PRIVATE);
    asleep_.store(0, std::memory_order_relaxed);
  }

  void wake() {
    if (asleep_.load(std::memory_order_seq_cst) != 0 && asleep_.exchange(0, std::memory_order_seq_cst) != 0)
      futex(FUTEX_WAKE_PRIVATE);
  }

  void reset() { asleep_.store(0, std::memory_order_relaxed); }

 private:
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

  /// Waits while the flag is 1, or wakes one thread. Errors (a signal, a changed flag) are early returns.
  void futex(int operation) { ::syscall(SYS_futex, &asleep_, operation, 1, nullptr, nullptr, 0); }

  std::atomic<std::uint32_t> asleep_{0};
};

/// A job, on its caller's stack.
struct Job {
  ThreadBody body;
  std::atomic<bool> failed{false};
  std::exception_ptr error{};  // the first exception; its writer is who set `failed`

  void call(int thread) noexcept {
    try {
      body.call(body.context, thread);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  }
};

// The fields of the word.
constexpr std::uint64_t kActive = 0xffff, kTeam = 0xffff0000;
constexpr int active_in(std::uint64_t word) { return static_cast<int>(word & kActive); }
constexpr int team_in(std::uint64_t word) { return static_cast<int>((word & kTeam) >> 16); }
constexpr std::uint32_t job_in(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); }
constexpr std::uint64_t open_word(std::uint32_t job, int team) {
  return std::uint64_t{job} << 32 | static_cast<std::uint64_t>(team) << 16;
}
static_assert(kMaxPoolThreads <= 0xffff);

class ThreadPool {
 public:
  /// Only one thread may hold the pool, and only it may call run() and then release().
  bool try_hold() { return !held_.load(std::memory_order_relaxed) && !held_.exchange(true, std::memory_order_acquire); }
  void release() { held_.store(false, std::memory_order_release); }

  void run(int threads, Job& job) {
    const Clock::time_point begin = Clock::now();
    if (begin < alone_until_) return job.call(0);
    const int team = std::min(threads, kMaxPoolThreads);
    grow(team);
    job_ = &job;
    word_.exchange(open_word(++jobs_, team), std::memory_order_seq_cst);
    for (int helper = 1; helper < std::min(team, size_); ++helper) helpers_[index(helper)].bed.wake();
    job.call(0);
    const Clock::time_point done = Clock::now();
    close();
    judge(done - begin, done);
  }

  /// In the child of a fork, which has none of the threads.
  void reset() {
    held_ = false;
    word_ = 0;
    size_ = 1;
    can_grow_ = true;
    alone_until_ = {};
    pause_ = kMinPause;
    caller_.reset();
    for (Helper& helper : helpers_) helper.bed.reset();
  }

 private:
  /// In its own cache line, so that waking one thread does not disturb others that spin.
  struct alignas(64) Helper {
    Bed bed;
  };

  static std::size_t index(int helper) { return static_cast<std::size_t>(helper); }

  void grow(int team) {
    if (processors_ == 0) processors_ = usable_processors();
    spins_.store(team <= processors_, std::memory_order_relaxed);
    if (size_ >= team || !can_grow_) return;
    // A helper inherits this thread's mask. It must not run signal handlers of the program.
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&blocked, signal);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    try {
      for (; size_ < team; ++size_) std::thread([this, helper = size_] { serve(helper); }).detach();
    } catch (const std::exception&) {
      can_grow_ = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  /// If the caller waited for the helpers for longer than it worked, other programs use the processors: a helper lost
  /// its processor inside the body, or the caller lost its own while it slept. Then the next jobs run on the caller
  /// alone, for a time that doubles with each such job and shrinks with each other one.
  void judge(Clock::duration worked, Clock::time_point done) {
    const Clock::time_point end = Clock::now();
    if (end - done > std::max(worked, kLongWait)) {
      alone_until_ = end + pause_;
      pause_ = std::min(2 * pause_, kMaxPause);
    } else if (pause_ > kMinPause) {
      pause_ = std::max(pause_ * 15 / 16, kMinPause);
    }
  }

  /// Ends the job: no helper can begin it any more, and those that did have returned.
  void close() {
    if (active_in(word_.fetch_and(~kTeam, std::memory_order_acq_rel)) == 0) return;
    const auto all_left = [this] { return active_in(word_.load(std::memory_order_seq_cst)) == 0; };
    if (spins_.load(std::memory_order_relaxed) && spin_until(all_left)) return;
    while (!all_left()) caller_.sleep_until(all_left);
  }

  /// The life of a helper.
  [[noreturn]] void serve(int helper) {
    std::uint32_t last = 0;  // the last job that it did: the first job has the number 1
    const auto is_called = [&] {
      const std::uint64_t word = word_.load(std::memory_order_seq_cst);
      return team_in(word) > helper && job_in(word) != last;
    };
    while (true) {
      if (const std::uint32_t job = begin(helper, last); job != last) {
        last = job;
        job_->call(helper);
        leave();
      }
      if (spins_.load(std::memory_order_relaxed) && spin_until(is_called)) continue;
      helpers_[index(helper)].bed.sleep_until(is_called);
    }
  }

  /// Counts the helper as active in the open job and returns its number, or `last` if there is no job for it.
  std::uint32_t begin(int helper, std::uint32_t last) {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    while (team_in(word) > helper && job_in(word) != last)
      if (word_.compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed))
        return job_in(word);
    return last;
  }

  /// After this, the helper no longer touches the job. The pool itself lives as long as the process.
  void leave() {
    const std::uint64_t before = word_.fetch_sub(1, std::memory_order_seq_cst);
    if (active_in(before) == 1 && team_in(before) == 0) caller_.wake();
  }

  std::atomic<bool> held_{false};
  // For the thread that holds the pool.
  int size_ = 1;  // threads that exist, and the caller
  bool can_grow_ = true;
  int processors_ = 0;  // 0: not yet known
  std::uint32_t jobs_ = 0;
  Clock::time_point alone_until_{};  // jobs that begin before this have no helpers
  Clock::duration pause_ = kMinPause;
  // For all threads.
  Job* job_ = nullptr;  // valid while the word is open or a helper is active
  std::atomic<bool> spins_{true};
  alignas(64) std::atomic<std::uint64_t> word_{0};
  alignas(64) Bed caller_;
  std::array<Helper, kMaxPoolThreads> helpers_{};
};

constinit ThreadPool pool;
constinit std::atomic<std::uint64_t> progress{0};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// Registered when the program starts: a registration at first use could be interrupted by a fork.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { pool.reset(); });

}  // namespace

void run_on_threads(int threads, const ThreadBody& body) {
  count_progress();
  if (threads <= 1 || !pool.try_hold()) return body.call(body.context, 0);
  Job job{body};
  pool.run(threads, job);
  pool.release();
  if (job.error) std::rethrow_exception(job.error);
}

std::uint64_t progress_count() noexcept { return progress.load(std::memory_order_relaxed); }
void count_progress() noexcept { progress.fetch_add(1, std::memory_order_relaxed); }

}  // namespace gradamp
