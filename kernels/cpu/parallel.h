// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include <omp.h>

namespace gradamp {

/// Calls body(i) for each i in [0, count), on `threads` threads.
template <typename Body>
void parallel_for(int threads, std::int64_t count, const Body& body) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

/// Calls body(i, thread) for i in [0, count): each thread takes the next task when it has finished one, so that a core
/// that others disturb does less. `thread`, from 0 to `threads` - 1, is for scratch memory; results must not depend on
/// it.
template <typename Body>
void parallel_tasks(int threads, std::int64_t count, const Body& body) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (std::int64_t i = 0; i < count; ++i) body(i, omp_get_thread_num());
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
