// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/signals.h"

#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/thread_pool.h"

namespace gradamp {
namespace {

constexpr std::array kStopping{SIGINT, SIGTERM, SIGUSR1, SIGHUP};
constexpr std::int64_t kNanoseconds = 1'000'000'000;
constexpr std::int64_t kSameInterrupt = kNanoseconds / 5;  // two SIGINT within this time are one

// A signal handler has no access to objects other than globals, and may only use lock-free atomics.
std::atomic<bool> stop_requested{false};
std::atomic<int> first_signal{0};
std::atomic<std::int64_t> first_interrupt{0};  // time of the first SIGINT, in ns; 0: none
std::atomic<std::int64_t> first_terminate{0};  // and of the first SIGTERM
std::atomic<std::uint64_t> progress_seen{0};
std::atomic<bool> in_use{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<std::int64_t>::is_always_lock_free);

// Written before the handlers are installed: a handler cannot format a message.
using Line = std::array<char, 200>;
Line second_interrupt, second_terminate, no_progress;
unsigned limit = 0;  // seconds; 0: none

std::array<struct sigaction, kStopping.size() + 2> previous_actions;  // and of SIGPIPE, SIGALRM

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * kNanoseconds + time.tv_nsec;
}

/// Ends the process by `signal`. If this runs in the signal's own handler, the process ends when that returns.
void end_at_once(int signal, const Line& line) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), std::strlen(line.data()));
  std::signal(signal, SIG_DFL);
  ::kill(::getpid(), signal);
}

/// A SIGINT ends the process, unless it is the first of all signals or comes with that one.
void on_interrupt() {
  std::int64_t first = 0;
  const bool is_first = first_interrupt.compare_exchange_strong(first, now());
  const bool comes_with_first = is_first ? first_signal == 0 : now() - first < kSameInterrupt;
  if (!comes_with_first) end_at_once(SIGINT, second_interrupt);
}

/// The first SIGTERM begins the limit, a later one ends the process.
void on_terminate() {
  std::int64_t first = 0;
  if (first_terminate.compare_exchange_strong(first, now())) {
    progress_seen = progress_count();
    ::alarm(limit);
  } else if (now() - first >= kNanoseconds) {
    end_at_once(SIGTERM, second_terminate);
  }
}

extern "C" void request_stop(int signal) {
  const int error = errno;
  if (signal == SIGINT) on_interrupt();
  if (signal == SIGTERM) on_terminate();
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  stop_requested.store(true);
  errno = error;
}

extern "C" void check_progress(int) {
  const int error = errno;
  const std::uint64_t progress = progress_count();
  if (progress_seen.exchange(progress) == progress) end_at_once(SIGTERM, no_progress);
  ::alarm(limit);
  errno = error;
}

void prepare_lines() {
  const auto write = [](Line& line, const std::string& reason) {
    const std::string text = fmt::format("{}: ended at once {}; what was saved before can be resumed\n",
                                         std::string(command_name()).substr(0, 60), reason);
    line = {};
    text.copy(line.data(), line.size() - 1);
  };
  write(second_interrupt, "by a second signal, SIGINT");
  write(second_terminate, "by a second SIGTERM");
  write(no_progress, fmt::format("by SIGTERM, after {} s without progress", limit));
}

/// Installs a handler, and stores the previous action.
void install(int signal, void (*handler)(int), struct sigaction& previous) {
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = handler;
  sigaction(signal, &action, &previous);
  if (signal == SIGHUP && previous.sa_handler == SIG_IGN) sigaction(signal, &previous, nullptr);
}

}  // namespace

StopSignals::StopSignals(int seconds_to_stop) {
  check(!in_use.exchange(true), "only one StopSignals may live at a time");
  stop_requested = false;
  first_signal = 0;
  first_interrupt = 0;
  first_terminate = 0;
  limit = static_cast<unsigned>(seconds_to_stop);
  prepare_lines();
  install(SIGALRM, check_progress, previous_actions.back());
  install(SIGPIPE, SIG_IGN, previous_actions[kStopping.size()]);
  for (std::size_t i = 0; i < kStopping.size(); ++i) install(kStopping[i], request_stop, previous_actions[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kStopping.size(); ++i) sigaction(kStopping[i], &previous_actions[i], nullptr);
  sigaction(SIGPIPE, &previous_actions[kStopping.size()], nullptr);
  ::alarm(0);
  sigaction(SIGALRM, &previous_actions.back(), nullptr);
  in_use = false;
}

const std::atomic<bool>& StopSignals::stop() const { return stop_requested; }
int StopSignals::received() const { return first_signal; }

const char* signal_name(int signal) {
  switch (signal) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    case SIGHUP: return "SIGHUP";
    default: return "a signal";
  }
}

}  // namespace gradamp
