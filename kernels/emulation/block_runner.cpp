// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/block_runner.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/device_intrinsics.h"
#include "gradamp/kernels/emulation/shared_intrinsics.h"

namespace gradamp::emulation {
namespace {

unsigned lowest(std::uint32_t bits) { return static_cast<unsigned>(std::countr_zero(bits)); }

}  // namespace

const WarpOperation kSyncWarp{"__syncwarp", false, nullptr};

bool same_location(const SourceLocation& a, const SourceLocation& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

BlockRunner& BlockRunner::local() {
  static thread_local BlockRunner runner;
  return runner;
}

// ---- a block ----

void BlockRunner::prepare(const emulated::dim3& grid, const emulated::dim3& block, std::size_t dynamic_shared_bytes,
                          const KernelFacts& kernel) {
  emulated::gridDim = grid;
  emulated::blockDim = block;
  order_ = config().thread_order;
  allow_early_exit_ = config().allow_early_exit;
  if (stack_bytes_ != config().stack_bytes) {
    idle_.clear();
    fibers_.clear();
    stack_bytes_ = config().stack_bytes;
  }
  shared_.reserve(dynamic_shared_bytes, kernel);
  threads_.resize(block.x * block.y * block.z);
  warps_.resize((threads_.size() + kWarpSize - 1) / kWarpSize);
  copies_.resize(threads_.size());
  for (unsigned rank = 0; rank < threads_.size(); ++rank) {
    Thread& thread = threads_[rank];
    thread.index = {rank % block.x, rank / block.x % block.y, rank / block.x / block.y};
    thread.rank = static_cast<std::uint16_t>(rank);
    thread.warp = static_cast<std::uint8_t>(rank / kWarpSize);
    thread.lane = static_cast<std::uint8_t>(rank % kWarpSize);
  }
}

void BlockRunner::run(const emulated::uint3& block, const KernelCall& kernel) {
  emulated::blockIdx = block;
  running_block = this;
  ++current_block_serial;
  kernel_ = kernel;
  shared_.begin_block();
  async_proxy_.begin_block(shared_.dynamic(), shared_.dynamic_bytes(), warps_.size());
  begin_threads();
  if (access_observer) access_observer->block_begins(*this);
  resume(*pick_next(), root_);
  running_thread = nullptr;
  running_block = nullptr;
  if (failure_.empty()) failure_ = async_proxy_.leftover();
  if (failure_.empty()) failure_ = shared_.damage();
  if (failure_.empty()) return;
  abandon_threads();
  throw Error(fmt::format("block ({},{},{}): {}", block.x, block.y, block.z, std::exchange(failure_, "")));
}

// The threads of the previous block left their state as it must be at the beginning: no fiber, nothing pending.
void BlockRunner::begin_threads() {
  const emulated::uint3& block = emulated::blockIdx;
  random_ = (config().seed + 1) * 0x9E3779B97F4A7C15u + block.x * 2654435761u + block.y * 40503u + block.z * 69069u;
  live_ = static_cast<unsigned>(threads_.size());
  for (unsigned warp = 0; warp < warps_.size(); ++warp) {
    const unsigned lanes = std::min(kWarpSize, live_ - warp * kWarpSize);
    warps_[warp].present = lanes == kWarpSize ? ~std::uint32_t{0} : lane_bit(lanes) - 1;
    warps_[warp].live = warps_[warp].present;
    wake(warp, warps_[warp].live);
  }
  warp_ = choose(ready_warps_);
}

// Objects on the threads' stacks are not destroyed; the stacks are reused.
void BlockRunner::abandon_threads() {
  idle_.clear();
  for (const auto& fiber : fibers_) {
    fiber->restart(&enter_fiber, this);
    idle_.push_back(fiber.get());
  }
  for (Thread& thread : threads_) thread.fiber = nullptr;
  for (AsyncCopies& copies : copies_) copies = {};
  for (Warp& warp : warps_) warp.ready = warp.waiting = warp.gathering = 0;
  ready_warps_ = 0;
  barrier_ = {};
  for (NamedBarrier& barrier : named_barriers_) barrier.waiters.clear();
}

// ---- a thread ----

void BlockRunner::enter_fiber(void* runner) {
  auto* self = static_cast<BlockRunner*>(runner);
  Fiber::entered(self->root_);
  self->run_threads();
}

// The main loop of a fiber: runs a thread to its end, then another one, or switches to a thread that was waiting.
void BlockRunner::run_threads() {
  while (true) {
    Thread& thread = *starting_;
    Fiber& fiber = *thread.fiber;
    set_running(thread);
    bool threw = false;
    try {
      kernel_.run(kernel_.arguments);
    } catch (const std::exception& error) {
      note_failure(error.what());
      threw = true;
    }
    if (threw) end_failed_thread();  // when the exception has been destroyed
    thread_returned(thread);
    Thread* next = pick_next();
    if (next && !next->fiber) {
      next->fiber = &fiber;
      starting_ = next;
      continue;
    }
    if (!next && live_ > 0) {
      thread.fiber = &fiber;
      report_deadlock();
    }
    idle_.push_back(&fiber);
    fiber.switch_to(next ? *next->fiber : root_);
  }
}

void BlockRunner::thread_returned(Thread& thread) {
  Warp& warp = warps_[thread.warp];
  thread.state = ThreadState::kReturned;
  warp.live &= ~lane_bit(thread.lane);
  --live_;
  for (std::uint32_t left = warp.waiting; left != 0; left &= left - 1) {
    const unsigned lane = lowest(left);
    if (!(warp.mask[lane] & lane_bit(thread.lane))) continue;
    const Thread& waiting = threads_[thread.warp * kWarpSize + lane];
    if (!allow_early_exit_) report_awaited_return(waiting.operation->name, waiting);
    if (const std::uint32_t done = try_operation(thread.warp, lane); done != 0) {
      wake(thread.warp, done);
      break;
    }
  }
  if (barrier_.arrived > 0) {
    if (!allow_early_exit_) report_awaited_return("__syncthreads", threads_[barrier_.first]);
    if (barrier_.arrived == live_) release_barrier();
  }
  // Copies that the thread did not wait for never complete: their targets keep NaN.
  copies_of(thread).pending.clear();
  thread.fiber = nullptr;
}

Fiber& BlockRunner::idle_fiber() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(stack_bytes_, fibers_.size()));
    fibers_.back()->restart(&enter_fiber, this);
    return *fibers_.back();
  }
  Fiber* fiber = idle_.back();
  idle_.pop_back();
  return *fiber;
}

bool BlockRunner::overflows_stack_at(const void* address) const {
  return std::any_of(fibers_.begin(), fibers_.end(), [&](const auto& fiber) { return fiber->overflows_at(address); });
}

// ---- the scheduler ----

std::uint64_t BlockRunner::random() {  // xorshift
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

inline unsigned BlockRunner::choose(std::uint32_t candidates) {
  return order_ == ThreadOrder::kForward ? lowest(candidates) : choose_unordered(candidates);
}

unsigned BlockRunner::choose_unordered(std::uint32_t candidates) {
  if (order_ == ThreadOrder::kReverse) return 31 - static_cast<unsigned>(std::countl_zero(candidates));
  const int turn = static_cast<int>(random() >> 33) & 31;
  return (lowest(std::rotr(candidates, turn)) + static_cast<unsigned>(turn)) % 32;
}

inline void BlockRunner::wake(unsigned warp, std::uint32_t lanes) {
  if (lanes == 0) return;
  warps_[warp].ready |= lanes;
  ready_warps_ |= lane_bit(warp);
}

// Null if no thread is runnable.
inline Thread* BlockRunner::pick_next() {
  if (warps_[warp_].gathering != 0 && warps_[warp_].ready == 0) [[unlikely]]
    release_gathered(warp_);
  while (ready_warps_ == 0)
    if (!async_proxy_.make_progress()) return nullptr;
  const bool switch_early = order_ == ThreadOrder::kShuffled && (random() >> 40) % 64 == 0;
  if (switch_early || !(ready_warps_ & lane_bit(warp_))) warp_ = choose(ready_warps_);
  Warp& warp = warps_[warp_];
  const unsigned lane = choose(warp.ready);
  warp.ready &= ~lane_bit(lane);
  if (warp.ready == 0) ready_warps_ &= ~lane_bit(warp_);
  return &threads_[warp_ * kWarpSize + lane];
}

inline void BlockRunner::set_running(Thread& thread) {
  thread.state = ThreadState::kRunnable;
  running_thread = &thread;
  emulated::threadIdx = thread.index;
}

inline void BlockRunner::resume(Thread& next, Fiber& from) {
  if (!next.fiber) {
    next.fiber = &idle_fiber();
    starting_ = &next;
  }
  from.switch_to(*next.fiber);
}

// The running thread waits; returns after another thread has woken it and the scheduler has chosen it.
inline void BlockRunner::suspend(Thread& self) {
  Thread* next = pick_next();
  if (!next) report_deadlock();
  if (next != &self) resume(*next, *self.fiber);
  set_running(self);
}

// With shuffled order, a thread that need not wait may still let others run first.
inline void BlockRunner::let_others_run(Thread& self) {
  if (order_ != ThreadOrder::kShuffled) return;
  wake(self.warp, lane_bit(self.lane));
  suspend(self);
}

void BlockRunner::park(const char* instruction, const SourceLocation& location) {
  Thread& self = *running_thread;
  self.location = location;
  self.parked_in = instruction;
  self.state = ThreadState::kParked;
  suspend(self);
}

void BlockRunner::unpark(unsigned rank) { wake(threads_[rank].warp, lane_bit(threads_[rank].lane)); }

void BlockRunner::yield_to(unsigned rank) {
  Thread& self = *running_thread;
  wake(self.warp, lane_bit(self.lane));
  warp_ = threads_[rank].warp;
  suspend(self);
}

// ---- __syncthreads ----

int BlockRunner::join_block_barrier(bool predicate, const SourceLocation& location) {
  Thread& self = *running_thread;
  if (barrier_.arrived == 0) {
    barrier_.location = location;
    barrier_.first = self.rank;
  } else if (!same_location(barrier_.location, location)) {
    report_different_barriers(location);
  }
  if (live_ != threads_.size() && !allow_early_exit_) report_returned_before_barrier(location);
  self.location = location;
  barrier_.votes += predicate ? 1 : 0;
  const unsigned serial = barrier_.serial;
  if (++barrier_.arrived == live_) {
    release_barrier();
    let_others_run(self);
  } else {
    barrier_.waiting[self.warp] |= lane_bit(self.lane);
    self.state = ThreadState::kAtBarrier;
    suspend(self);
  }
  return barrier_.result[serial % 2];
}

void BlockRunner::release_barrier() {
  if (access_observer) access_observer->block_barrier();
  barrier_.result[barrier_.serial++ % 2] = std::exchange(barrier_.votes, 0);
  barrier_.arrived = 0;
  for (unsigned warp = 0; warp < warps_.size(); ++warp) wake(warp, std::exchange(barrier_.waiting[warp], 0));
}

// ---- named barriers ----

void BlockRunner::join_named_barrier(int id, int threads, const SourceLocation& location) {
  if (id < 1 || id >= kMaxNamedBarriers || threads < 1 || threads % static_cast<int>(kWarpSize) != 0 ||
      static_cast<std::size_t>(threads) > threads_.size())
    report_wrong_named_barrier(id, threads, location);
  NamedBarrier& barrier = named_barriers_[id];
  if (!barrier.waiters.empty() && (barrier.threads != threads || !same_location(barrier.location, location)))
    report_different_named_barriers(id, threads, location);
  barrier.threads = threads;
  barrier.location = location;
  if (barrier.waiters.size() + 1 < static_cast<std::size_t>(threads)) {
    barrier.waiters.push_back(running_thread->rank);
    park("barrier.cta", location);
    return;
  }
  if (access_observer) access_observer->some_threads_met();
  for (const unsigned rank : barrier.waiters) unpark(rank);
  barrier.waiters.clear();
  let_others_run(*running_thread);
}

// ---- __activemask ----

std::uint32_t BlockRunner::join_active_mask(const SourceLocation& location) {
  static const WarpOperation kActiveMask{"__activemask", false, nullptr};
  Thread& self = *running_thread;
  self.location = location;
  self.operation = &kActiveMask;
  self.state = ThreadState::kInCollective;
  warps_[self.warp].gathering |= lane_bit(self.lane);
  suspend(self);
  return warps_[self.warp].active_mask[self.lane];
}

// No lane of the warp can run: those that wait at one line continue together.
void BlockRunner::release_gathered(unsigned warp_index) {
  Warp& warp = warps_[warp_index];
  const Thread* threads = &threads_[warp_index * kWarpSize];
  const SourceLocation& location = threads[choose(warp.gathering)].location;
  std::uint32_t lanes = 0;
  for (std::uint32_t left = warp.gathering; left != 0; left &= left - 1)
    if (same_location(threads[lowest(left)].location, location)) lanes |= left & -left;
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) warp.active_mask[lowest(left)] = lanes;
  warp.gathering &= ~lanes;
  wake(warp_index, lanes);
}

// ---- warp collectives ----

void BlockRunner::join_warp_operation(const WarpOperation& operation, std::uint32_t mask, void* payload,
                                      const SourceLocation& location) {
  Thread& self = *running_thread;
  Warp& warp = warps_[self.warp];
  const unsigned lane = self.lane;
  self.location = location;
  self.operation = &operation;
  if (!(mask & lane_bit(lane))) report_not_in_mask(self, mask);
  if (const std::uint32_t returned = mask & warp.present & ~warp.live; returned != 0 && !allow_early_exit_)
    report_returned_lane(self, mask, lowest(returned));
  warp.mask[lane] = mask;
  warp.operation[lane] = &operation;
  warp.payload[lane] = payload;
  warp.waiting |= lane_bit(lane);
  if (const std::uint32_t done = try_operation(self.warp, lane); done != 0) {
    wake(self.warp, done & ~lane_bit(lane));
    let_others_run(self);
  } else {
    self.state = ThreadState::kInCollective;
    suspend(self);
  }
}

// Runs the operation that `lane` waits for if all its lanes have arrived; returns those lanes, or 0.
inline std::uint32_t BlockRunner::try_operation(unsigned warp_index, unsigned lane) {
  Warp& warp = warps_[warp_index];
  const std::uint32_t lanes = warp.mask[lane] & warp.live;
  const std::uint32_t others = lanes & warp.waiting & ~lane_bit(lane);
  if ((lanes & ~warp.waiting) != 0) {
    // One comparison finds most mistakes now, with both locations; the others are found when the last lane arrives. A
    // lane that does not wait for this one may still arrive here.
    if (others != 0 && (warp.mask[lowest(others)] & lane_bit(lane))) require_same(warp_index, lane, lowest(others));
    return 0;
  }
  for (std::uint32_t left = others; left != 0; left &= left - 1) require_same(warp_index, lane, lowest(left));
  const WarpOperation& operation = *warp.operation[lane];
  warp.waiting &= ~lanes;
  if (operation.run) operation.run(warp.payload, lanes);
  if (access_observer && &operation == &kSyncWarp) access_observer->warp_barrier(warp_index, lanes);
  return lanes;
}

// Fails unless both lanes have arrived at the same operation.
inline void BlockRunner::require_same(unsigned warp_index, unsigned lane, unsigned other) {
  const Warp& warp = warps_[warp_index];
  const Thread* threads = &threads_[warp_index * kWarpSize];
  if (warp.operation[other] != warp.operation[lane] || warp.mask[other] != warp.mask[lane] ||
      (warp.operation[lane]->aligned && !same_location(threads[lane].location, threads[other].location)))
    report_different_operations(warp_index, lane, other);
}

// ---- scheduler.h and shared_intrinsics.h, for the running thread ----

void join_warp_operation(const WarpOperation& operation, std::uint32_t mask, void* payload,
                         const SourceLocation& location) {
  running_block->join_warp_operation(operation, mask, payload, location);
}

int join_block_barrier(bool predicate, const SourceLocation& location) {
  return running_block->join_block_barrier(predicate, location);
}

void join_named_barrier(int id, int threads, const SourceLocation& location) {
  running_block->join_named_barrier(id, threads, location);
}

std::uint32_t join_active_mask(const SourceLocation& location) { return running_block->join_active_mask(location); }

unsigned lane() { return running_thread->lane; }

void note_failure(const std::string& what) {
  if (!running_block) throw Error(what);
  running_block->note_failure(what);
}

void end_failed_thread() { running_block->end_failed_thread(); }

void place_shared_array(SharedSlot& slot, const char* name, std::size_t bytes, std::size_t alignment,
                        const SourceLocation& location) {
  slot = {current_block_serial, running_block->shared().add_array(name, bytes, alignment, location)};
}

void* dynamic_shared() { return running_block->shared().dynamic(); }

}  // namespace gradamp::emulation
