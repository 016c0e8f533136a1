// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/lockstep.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

/// Ends a function whose partner has failed. Nobody catches it as an Error.
struct PartnerFailed {};

}  // namespace

Lockstep::Lockstep(int count, std::function<void(int i)> on_turn) : count_(count), on_turn_(std::move(on_turn)) {}

void Lockstep::run(const std::function<void(int i)>& body) {
  has_ended_.assign(static_cast<std::size_t>(count_), false);
  meetings_.assign(static_cast<std::size_t>(count_), 0);
  error_ = nullptr;
  std::vector<std::thread> threads;
  try {
    for (int i = 0; i < count_; ++i) threads.emplace_back([this, i, &body] { run_one(i, body); });
  } catch (const std::system_error& error) {
    error_ = std::make_exception_ptr(Error(fmt::format(
        "{} shards are computed side by side by as many threads, of which {} could be started: {}; use fewer shards or "
        "permit more threads",
        count_, threads.size(), error.what())));
    std::fill(has_ended_.begin() + static_cast<std::ptrdiff_t>(threads.size()), has_ended_.end(), true);
  }
  {
    const std::lock_guard lock(mutex_);
    turn_ = 0;
  }
  turn_has_passed_.notify_all();
  for (std::thread& thread : threads) thread.join();
  turn_ = -1;
  if (error_) std::rethrow_exception(error_);
}

void Lockstep::run_one(int i, const std::function<void(int i)>& body) {
  wait_for_turn(i);
  try {
    if (error_) throw PartnerFailed();
    on_turn_(i);
    body(i);
    check_meetings(i);
  } catch (const PartnerFailed&) {
  } catch (...) {
    keep_error();
  }
  has_ended_[static_cast<std::size_t>(i)] = true;
  pass_turn(i);
}

void Lockstep::meet(int i, const std::function<void()>& work) {
  ++meetings_[static_cast<std::size_t>(i)];
  check_meetings(i);
  if (i == count_ - 1) work();
  pass_turn(i);
  wait_for_turn(i);
  if (error_) throw PartnerFailed();
  on_turn_(i);
}

/// Function 0 is the first at each meeting, so the others must have come to as many.
void Lockstep::check_meetings(int i) const {
  const int first = meetings_[0], own = meetings_[static_cast<std::size_t>(i)];
  check(own == first, "expected the same batch norms of each shard, got {} calls for shard {} and {} for the first",
        own, i, first);
}

void Lockstep::wait_for_turn(int i) {
  std::unique_lock lock(mutex_);
  turn_has_passed_.wait(lock, [&] { return turn_ == i; });
}

/// To the next function that has not ended.
void Lockstep::pass_turn(int i) {
  {
    const std::lock_guard lock(mutex_);
    int next = i;
    do {
      next = (next + 1) % count_;
    } while (next != i && has_ended_[static_cast<std::size_t>(next)]);
    turn_ = has_ended_[static_cast<std::size_t>(next)] ? -1 : next;
  }
  turn_has_passed_.notify_all();
}

void Lockstep::keep_error() {
  if (!error_) error_ = std::current_exception();
}

}  // namespace gradamp
