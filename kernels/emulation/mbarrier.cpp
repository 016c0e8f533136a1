// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/mbarrier.h"

#include <fmt/format.h>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/memory_intrinsics.h"

namespace gradamp::emulation {
namespace {

// An mbarrier's word in memory is this plus its index: an mbarrier that was overwritten is found at its next use.
constexpr std::uint64_t kMark = 0x6261727265720000u;
constexpr std::uint32_t kMaxCount = (1u << 20) - 1;  // of arrivals and of bytes

}  // namespace

bool Mbarriers::is_initialized(const std::uint64_t* barrier) const {
  const std::uint64_t index = *barrier - kMark;
  return index < barriers_.size() && barriers_[index].word == barrier;
}

std::size_t Mbarriers::find(const std::uint64_t* barrier, const char* instruction,
                            const SourceLocation& location) const {
  check_aligned(barrier, sizeof *barrier, location);
  if (!running_block->shared().contains(barrier) || !is_initialized(barrier))
    fail_thread([&] {
      return fmt::format("{} at {}: there is no mbarrier: it was not initialized, or was overwritten", instruction,
                         to_string(location));
    });
  return *barrier - kMark;
}

void Mbarriers::init(std::uint64_t* barrier, std::uint32_t arrivals, const SourceLocation& location) {
  check_aligned(barrier, sizeof *barrier, location);
  const auto refuse = [&](const auto& why) {
    fail_thread([&] { return fmt::format("mbarrier.init at {}: {}", to_string(location), why()); });
  };
  if (!running_block->shared().contains(barrier)) refuse([] { return "the mbarrier is not in shared memory"; });
  if (is_initialized(barrier))
    refuse([&] { return "it was initialized at " + to_string(barriers_[*barrier - kMark].location); });
  if (arrivals < 1 || arrivals > kMaxCount) refuse([&] { return fmt::format("{} arrivals", arrivals); });
  *barrier = kMark + barriers_.size();
  barriers_.push_back({.word = barrier,
                       .expected = arrivals,
                       .pending = arrivals,
                       .initialized_by = running_thread->rank,
                       .location = location,
                       .waiters = {}});
}

void Mbarriers::fence(unsigned rank) {
  for (Barrier& barrier : barriers_) barrier.visible = barrier.visible || barrier.initialized_by == rank;
}

std::size_t Mbarriers::index_for_copy(const std::uint64_t* barrier, const SourceLocation& location) const {
  const std::size_t index = find(barrier, "tensor load", location);
  if (!barriers_[index].visible)
    fail_thread([&] {
      return fmt::format("tensor load at {}: the mbarrier was initialized at {} without a fence.mbarrier_init after it",
                         to_string(location), to_string(barriers_[index].location));
    });
  return index;
}

// Wakes the threads that wait if the phase lacks nothing.
bool Mbarriers::complete_phase(Barrier& barrier) {
  if (barrier.pending != 0 || barrier.bytes != 0) return false;
  if (access_observer) access_observer->some_threads_met();
  barrier.parity ^= 1;
  barrier.pending = barrier.expected;
  for (const unsigned rank : barrier.waiters) running_block->unpark(rank);
  barrier.waiters.clear();
  return true;
}

void Mbarriers::copied(std::size_t index, std::uint32_t bytes) {
  barriers_[index].bytes -= bytes;
  complete_phase(barriers_[index]);
}

void Mbarriers::arrive(std::uint64_t* word, std::uint32_t expected_bytes, const SourceLocation& location) {
  Barrier& barrier = barriers_[find(word, "mbarrier.arrive", location)];
  if (barrier.pending == 0)
    fail_thread([&] {
      return fmt::format("mbarrier.arrive at {}: the phase has all its {} arrivals, and waits for {} bytes",
                         to_string(location), barrier.expected, barrier.bytes);
    });
  if (expected_bytes > kMaxCount || barrier.bytes + expected_bytes > kMaxCount)
    fail_thread([&] {
      return fmt::format("mbarrier.arrive.expect_tx at {}: {} bytes in a phase, more than 2^20 - 1",
                         to_string(location), barrier.bytes + expected_bytes);
    });
  barrier.bytes += expected_bytes;
  --barrier.pending;
  const bool awaited = !barrier.waiters.empty();
  const unsigned first = awaited ? barrier.waiters[0] : 0;
  // A thread that waited for this runs at once: if this thread arrived too early, it then misses what that one
  // overwrites.
  if (complete_phase(barrier) && awaited) running_block->yield_to(first);
}

void Mbarriers::wait(std::uint64_t* word, std::uint32_t parity, const SourceLocation& location) {
  const std::size_t index = find(word, "mbarrier.try_wait", location);
  if (barriers_[index].parity != parity) return;
  barriers_[index].waiters.push_back(running_thread->rank);
  running_block->park("mbarrier.try_wait", location);
  if (barriers_[index].parity == parity)
    fail_thread([&] {
      return fmt::format(
          "mbarrier.try_wait at {}: the phase was completed, and the next one too, before this thread "
          "looked: a GPU could hang here",
          to_string(location));
    });
}

std::string Mbarriers::describe_awaited() const {
  std::string text;
  for (const Barrier& barrier : barriers_)
    if (!barrier.waiters.empty())
      text += fmt::format("; the mbarrier initialized at {} lacks {} of {} arrivals and {} bytes",
                          to_string(barrier.location), barrier.pending, barrier.expected, barrier.bytes);
  return text;
}

// ---- for the running thread ----

namespace {
Mbarriers& mbarriers() { return running_block->async_proxy().mbarriers(); }
}  // namespace

void init_mbarrier(std::uint64_t* barrier, std::uint32_t arrivals, const SourceLocation& location) {
  mbarriers().init(barrier, arrivals, location);
}
void fence_mbarrier_init() { mbarriers().fence(running_thread->rank); }
void arrive_mbarrier(std::uint64_t* barrier, std::uint32_t expected_bytes, const SourceLocation& location) {
  mbarriers().arrive(barrier, expected_bytes, location);
}
void wait_mbarrier(std::uint64_t* barrier, std::uint32_t parity, const SourceLocation& location) {
  mbarriers().wait(barrier, parity, location);
}

}  // namespace gradamp::emulation
