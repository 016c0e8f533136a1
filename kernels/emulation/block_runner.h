// SPDX-License-Identifier: MIT
// Runs the blocks of a launch, one at a time, on one OS thread. Each CUDA thread is a fiber that runs until it must
// wait for other threads; then the next runnable thread continues.
//
// One warp runs as far as it can before another warp runs, so that warps drift apart as far as the barriers allow. This
// makes a missing barrier visible. (Switching warps often keeps them in step and hides it.) A thread gets a stack only
// when it begins, and passes it to the next thread when it returns: a kernel without barriers is a loop on one stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/async_copy.h"
#include "gradamp/kernels/emulation/async_proxy.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/fiber.h"
#include "gradamp/kernels/emulation/grid.h"
#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/shared_memory.h"
#include "gradamp/kernels/emulation/source_location.h"
#include "gradamp/kernels/emulation/vector_types.h"

namespace gradamp::emulation {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kMaxThreads = 1024;
inline constexpr unsigned kMaxWarps = kMaxThreads / kWarpSize;
inline constexpr int kMaxNamedBarriers = 16;  // the first is __syncthreads

enum class ThreadState : std::uint8_t { kRunnable, kAtBarrier, kInCollective, kParked, kReturned };

/// A CUDA thread, in one cache line.
struct alignas(64) Thread {
  emulated::uint3 index{};
  std::uint16_t rank = 0;  // within the block
  std::uint8_t warp = 0, lane = 0;
  ThreadState state = ThreadState::kReturned;
  Fiber* fiber = nullptr;  // null until it begins
  // The source location and the collective at which it waits.
  SourceLocation location;
  const WarpOperation* operation = nullptr;
  const char* parked_in = nullptr;
};
static_assert(sizeof(Thread) == 64);

class BlockRunner {
 public:
  /// The BlockRunner of this OS thread.
  static BlockRunner& local();

  BlockRunner() = default;
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  /// Call it before the blocks of a launch.
  void prepare(const emulated::dim3& grid, const emulated::dim3& block, std::size_t dynamic_shared_bytes,
               const KernelFacts& kernel);
  /// Runs a block to its end. Error if a thread failed; the other threads are then abandoned.
  void run(const emulated::uint3& block, const KernelCall& kernel);

  // For the running thread; see scheduler.h.
  void join_warp_operation(const WarpOperation& operation, std::uint32_t mask, void* payload,
                           const SourceLocation& location);
  int join_block_barrier(bool predicate, const SourceLocation& location);
  void join_named_barrier(int id, int threads, const SourceLocation& location);
  std::uint32_t join_active_mask(const SourceLocation& location);
  /// Waits in `instruction` until unpark is called for this thread.
  void park(const char* instruction, const SourceLocation& location);
  void unpark(unsigned rank);
  /// The warp of `rank`, a thread that can run, continues before the running thread does.
  void yield_to(unsigned rank);
  /// Nothing destroys what a thread that failed has on its stack: so describe() returns the message, and what it needed
  /// for that is gone when the thread ends.
  template <typename Describe>
  [[noreturn]] void fail(const Describe& describe) {
    note_failure(describe());
    end_failed_thread();
  }
  void note_failure(const std::string& what);
  [[noreturn]] void end_failed_thread();

  SharedMemory& shared() { return shared_; }
  AsyncProxy& async_proxy() { return async_proxy_; }
  AsyncCopies& copies_of(const Thread& thread) { return copies_[thread.rank]; }
  const std::vector<Thread>& threads() const { return threads_; }
  /// Whether `address` is in the guard below one of the fibers' stacks.
  bool overflows_stack_at(const void* address) const;

 private:
  struct Warp {
    std::uint32_t present = 0;             // lanes that exist in this block
    std::uint32_t live = 0;                // lanes that have not returned
    std::uint32_t ready = 0;               // lanes that are runnable
    std::uint32_t waiting = 0;             // lanes that wait at a collective; the arrays below have their entries
    std::uint32_t gathering = 0;           // lanes that wait in __activemask
    std::uint32_t active_mask[kWarpSize];  // the results of their last __activemask
    std::uint32_t mask[kWarpSize];
    const WarpOperation* operation[kWarpSize];
    void* payload[kWarpSize];
  };
  struct Barrier {
    SourceLocation location;
    unsigned arrived = 0;
    unsigned first = 0;  // rank of the first thread to arrive
    int votes = 0;
    // The results of this barrier and the previous one: a thread may reach the next barrier before others leave this
    // one.
    int result[2] = {};
    unsigned serial = 0;
    std::uint32_t waiting[kMaxWarps] = {};
  };

  struct NamedBarrier {
    SourceLocation location;
    int threads = 0;
    std::vector<unsigned> waiters;  // ranks
  };

  static void enter_fiber(void* runner);
  void run_threads();
  void begin_threads();
  void abandon_threads();
  void thread_returned(Thread& thread);

  Thread* pick_next();
  unsigned choose(std::uint32_t candidates);
  unsigned choose_unordered(std::uint32_t candidates);
  std::uint64_t random();
  void resume(Thread& next, Fiber& from);
  void suspend(Thread& self);
  void let_others_run(Thread& self);
  void wake(unsigned warp, std::uint32_t lanes);
  void set_running(Thread& thread);
  Fiber& idle_fiber();

  void release_gathered(unsigned warp);
  std::uint32_t try_operation(unsigned warp, unsigned lane);
  void require_same(unsigned warp, unsigned lane, unsigned other);
  void release_barrier();

  // In block_report.cpp: failures of a thread, with their messages.
  [[noreturn]] void report_not_in_mask(const Thread& thread, std::uint32_t mask);
  [[noreturn]] void report_returned_lane(const Thread& thread, std::uint32_t mask, unsigned lane);
  [[noreturn]] void report_different_operations(unsigned warp, unsigned lane, unsigned other);
  [[noreturn]] void report_different_barriers(const SourceLocation& location);
  [[noreturn]] void report_wrong_named_barrier(int id, int threads, const SourceLocation& location);
  [[noreturn]] void report_different_named_barriers(int id, int threads, const SourceLocation& location);
  [[noreturn]] void report_returned_before_barrier(const SourceLocation& location);
  [[noreturn]] void report_awaited_return(const char* where, const Thread& waiting);
  [[noreturn]] void report_deadlock();

  Fiber root_;  // the OS thread's own stack
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  std::size_t stack_bytes_ = 0;

  KernelCall kernel_{};
  std::vector<Thread> threads_;
  std::vector<AsyncCopies> copies_;  // by rank
  std::vector<Warp> warps_;
  Thread* starting_ = nullptr;  // the thread that the next new fiber runs first
  unsigned live_ = 0;           // threads that have not returned
  std::uint32_t ready_warps_ = 0;
  unsigned warp_ = 0;  // the warp that runs now
  Barrier barrier_;
  NamedBarrier named_barriers_[kMaxNamedBarriers];
  SharedMemory shared_;
  AsyncProxy async_proxy_;
  ThreadOrder order_ = ThreadOrder::kForward;
  bool allow_early_exit_ = false;
  std::uint64_t random_ = 1;
  std::string failure_;
};

/// The CUDA thread and block that run on this OS thread; null while host code runs.
inline constinit thread_local Thread* running_thread = nullptr;
inline constinit thread_local BlockRunner* running_block = nullptr;

inline std::uint32_t lane_bit(unsigned lane) { return std::uint32_t{1} << lane; }

/// Whether two collectives are at the same source location.
bool same_location(const SourceLocation& a, const SourceLocation& b);

}  // namespace gradamp::emulation
