// SPDX-License-Identifier: MIT
// Loops over independent tasks, on the threads of core/thread_pool.h. Which thread runs a task is not determined, so
// results must not depend on it. A loop inside a task runs on the task's thread alone, as thread 0 of its own: it must
// have scratch memory of its own.
//
// An exception of a task ends the loop: tasks that have not begun are skipped, and the caller gets the first exception.
//
// Functions that are not templates are in parallel.cpp: an inline function would exist once for all sources that use
// it, with the instructions of one of them.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "gradamp/core/thread_pool.h"

namespace gradamp {

/// Divides [0, count) among the threads of a job. Each thread has a share, so that consecutive loops over one tensor
/// find their part of it in the core's cache. It takes its share in eight pieces. A thread that has finished its share
/// takes pieces of the others', so that a core that others disturb does less.
class SharedRanges {
 public:
  /// [begin, end); empty when nothing is left.
  struct Range {
    std::int64_t begin = 0, end = 0;
  };
  /// A thread's position: the share that it takes from, and how many shares it has found empty.
  struct Cursor {
    int share = 0, empty = 0;
  };

  SharedRanges(std::int64_t count, int threads);

  Cursor cursor(int thread) const;
  Range take(Cursor& cursor);
  /// Nothing is left for any thread.
  void stop();

 private:
  static constexpr int kMaxShares = 32;  // with more threads, several have one share
  struct alignas(64) Share {
    std::atomic<std::int64_t> next;
    std::int64_t end;
  };

  int shares_;
  std::int64_t piece_;
  std::array<Share, kMaxShares> share_;  // the first `shares_` are in use
};

/// The number of threads for `count` tasks.
int team_size(int threads, std::int64_t count);

/// Calls body(i) for each i in [0, count), on up to `threads` threads.
template <typename Body>
void parallel_for(int threads, std::int64_t count, const Body& body) {
  if (count <= 0) return;
  const int team = team_size(threads, count);
  SharedRanges ranges(count, team);
  run_on_threads(team, [&](int thread) {
    SharedRanges::Cursor cursor = ranges.cursor(thread);
    try {
      for (auto range = ranges.take(cursor); range.begin < range.end; range = ranges.take(cursor))
        for (std::int64_t i = range.begin; i < range.end; ++i) body(i);
    } catch (...) {
      ranges.stop();
      throw;
    }
  });
}

/// Calls body(i, thread) for i in [0, count): each thread takes the next task when it has finished one. For tasks that
/// are large or of unlike sizes. `thread`, from 0 to `threads` - 1, is for scratch memory.
template <typename Body>
void parallel_tasks(int threads, std::int64_t count, const Body& body) {
  if (count <= 0) return;
  std::atomic<std::int64_t> next{0};
  run_on_threads(team_size(threads, count), [&](int thread) {
    try {
      for (std::int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
           i = next.fetch_add(1, std::memory_order_relaxed))
        body(i, thread);
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      throw;
    }
  });
}

/// Calls body(begin, end) for ranges of `grain` elements that cover [0, count). The ranges do not depend on the number
/// of threads, so sums that are finished per range have the same bits with any number of threads.
template <typename Body>
void parallel_ranges(int threads, std::int64_t count, std::int64_t grain, const Body& body) {
  parallel_for(threads, (count + grain - 1) / grain,
               [&](std::int64_t range) { body(range * grain, std::min(count, (range + 1) * grain)); });
}

/// Elements per range of simple elementwise loops: 64 KiB of floats.
inline constexpr std::int64_t kElementwiseGrain = 16384;

}  // namespace gradamp
