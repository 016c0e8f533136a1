// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/signals.h"

#include <array>
#include <csignal>
#include <cstddef>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

constexpr std::array kStopping{SIGINT, SIGTERM, SIGUSR1, SIGHUP};

// A signal handler has no access to objects other than globals, and may only use lock-free atomics.
std::atomic<bool> stop_requested{false};
std::atomic<int> first_signal{0};
std::atomic<bool> in_use{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

std::array<struct sigaction, kStopping.size() + 1> previous_actions;

extern "C" void request_stop(int signal) {
  if (signal == SIGINT && stop_requested.load()) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);  // blocked until this handler returns
    return;
  }
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  stop_requested.store(true);
}

}  // namespace

StopSignals::StopSignals() {
  check(!in_use.exchange(true), "only one StopSignals may live at a time");
  stop_requested = false;
  first_signal = 0;
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < kStopping.size(); ++i) {
    action.sa_handler = request_stop;
    sigaction(kStopping[i], &action, &previous_actions[i]);
    if (kStopping[i] == SIGHUP && previous_actions[i].sa_handler == SIG_IGN)
      sigaction(SIGHUP, &previous_actions[i], nullptr);
  }
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, &previous_actions.back());
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kStopping.size(); ++i) sigaction(kStopping[i], &previous_actions[i], nullptr);
  sigaction(SIGPIPE, &previous_actions.back(), nullptr);
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
