// SPDX-License-Identifier: MIT
// The messages of a BlockRunner about threads that wait for each other without end.
#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/block_runner.h"

namespace gradamp::emulation {
namespace {

std::string name_of(const Thread& thread) {
  return fmt::format("thread ({},{},{})", thread.index.x, thread.index.y, thread.index.z);
}

std::string place_of(const Thread& thread) {
  switch (thread.state) {
    case ThreadState::kRunnable: return "can run";
    case ThreadState::kReturned: return "returned";
    case ThreadState::kAtBarrier: return "wait in __syncthreads at " + to_string(thread.location);
    case ThreadState::kInCollective:
      return fmt::format("wait in {} at {}", thread.operation->name, to_string(thread.location));
    case ThreadState::kParked: return fmt::format("wait in {} at {}", thread.parked_in, to_string(thread.location));
  }
  return "?";
}

bool same_location(const Thread& a, const Thread& b) {
  return a.state == b.state && (a.state == ThreadState::kReturned || emulation::same_location(a.location, b.location));
}

}  // namespace

void BlockRunner::note_failure(const std::string& what) {
  failure_ = fmt::format("{}: {}", name_of(*running_thread), what);
}

void BlockRunner::end_failed_thread() {
  running_thread->fiber->switch_to(root_);
  std::abort();  // nothing resumes a thread that failed
}

void BlockRunner::report_not_in_mask(const Thread& thread, std::uint32_t mask) {
  fail([&] {
    return fmt::format("{} at {}: lane {} is not in its own mask {:#010x}", thread.operation->name,
                       to_string(thread.location), thread.lane, mask);
  });
}

void BlockRunner::report_returned_lane(const Thread& thread, std::uint32_t mask, unsigned lane) {
  fail([&] {
    return fmt::format("{} at {}: the mask {:#010x} names lane {}, which has returned", thread.operation->name,
                       to_string(thread.location), mask, lane);
  });
}

void BlockRunner::report_different_operations(unsigned warp_index, unsigned lane, unsigned other) {
  const Warp& warp = warps_[warp_index];
  const Thread& self = threads_[warp_index * kWarpSize + lane];
  const Thread& peer = threads_[warp_index * kWarpSize + other];
  fail([&] {
    return fmt::format(
        "lane {} came to {} at {} with the mask {:#010x}, but lane {} of its warp waits in {} at {} with {:#010x}",
        lane, self.operation->name, to_string(self.location), warp.mask[lane], other, peer.operation->name,
        to_string(peer.location), warp.mask[other]);
  });
}

void BlockRunner::report_different_barriers(const SourceLocation& location) {
  fail([&] {
    return fmt::format("came to __syncthreads at {}, but {} waits in the one at {}", to_string(location),
                       name_of(threads_[barrier_.first]), to_string(barrier_.location));
  });
}

void BlockRunner::report_wrong_named_barrier(int id, int threads, const SourceLocation& location) {
  fail([&] {
    return fmt::format(
        "barrier.cta at {}: barrier {} for {} threads; expected a barrier from 1 to {} and whole warps of "
        "the block's {} threads",
        to_string(location), id, threads, kMaxNamedBarriers - 1, threads_.size());
  });
}

void BlockRunner::report_different_named_barriers(int id, int threads, const SourceLocation& location) {
  const NamedBarrier& barrier = named_barriers_[id];
  fail([&] {
    return fmt::format("came to barrier.cta {} for {} threads at {}, but {} waits in the one for {} at {}", id, threads,
                       to_string(location), name_of(threads_[barrier.waiters[0]]), barrier.threads,
                       to_string(barrier.location));
  });
}

void BlockRunner::report_returned_before_barrier(const SourceLocation& location) {
  fail([&] {
    return fmt::format("waits in __syncthreads at {}, but {} of the block's {} threads have returned",
                       to_string(location), threads_.size() - live_, threads_.size());
  });
}

void BlockRunner::report_awaited_return(const char* where, const Thread& waiting) {
  fail([&] {
    return fmt::format("returned, but {} waits for it in {} at {}", name_of(waiting), where,
                       to_string(waiting.location));
  });
}

// No thread is runnable, and not all have returned. The message groups neighboring threads at the same location.
void BlockRunner::report_deadlock() {
  fail([&] {
    constexpr std::size_t kLongEnough = 1000;
    std::string message = "no thread can go on";
    for (auto first = threads_.begin(); first != threads_.end();) {
      const auto end =
          std::find_if(first, threads_.end(), [&](const Thread& next) { return !same_location(*first, next); });
      if (message.size() > kLongEnough) {
        message += "; and so on";
        break;
      }
      message += fmt::format("; threads {} to {} {}", first->rank, std::prev(end)->rank, place_of(*first));
      first = end;
    }
    return message + async_proxy_.mbarriers().describe_awaited();
  });
}

}  // namespace gradamp::emulation
