// SPDX-License-Identifier: MIT
// The threads that compute: one pool per process, which the CPU backend and the emulator share.
//
// A job is a function that several threads call at the same time. The calling thread always calls it; the pool's
// threads (helpers) call it too, if they come in time. The function takes tasks from a counter until none is left
// (kernels/cpu/parallel.h). So the caller alone could do all the work, and it never waits for a helper that has not
// begun, for example because another program uses its core. It waits only for helpers that are inside the function.
//
// A job begins and ends with operations on one atomic word, which has three fields:
//
//     job number (32 bits) | team: threads that may take part, 0 if closed (16 bits) | active helpers (16 bits)
//
//     caller                                             helper number h
//     writes the job's address                           reads the word until team > h and the job number is new
//     word = (number + 1, team, 0)        -- opens -->   word: active + 1, by compare-and-swap
//     wakes the helpers that sleep                       reads the job's address, calls the function
//     calls the function                                 word: active - 1
//     word: team = 0                      -- closes -->  no helper can begin any more
//     waits until active = 0                             spins for 20 us, then sleeps until a job wakes it
//
// Memory order: opening is a release and beginning an acquire, so a helper sees all that the caller wrote before the
// job. Leaving is a release and the caller's last read of the word an acquire, so the caller sees all that the helpers
// wrote. All changes between opening and closing are read-modify-write operations, so one read synchronizes with every
// helper that has left. Who sleeps first sets a flag and then reads the word; who wakes first changes the word and then
// reads the flag. These four operations are sequentially consistent, so no wake-up is lost.
//
// Waiting threads spin for 20 us, because the next job of a training step usually begins before that, and a system call
// takes longer. They do not spin if the team has more threads than there are processors. Then they sleep on a futex, so
// that other programs get the processor.
//
// If the processors are busy with other programs, a thread that loses its processor inside a job delays all others by
// milliseconds, and several threads are slower than one. The pool notices this by the caller's waits. Then it runs the
// jobs of the next 2 to 100 ms on their callers alone, and tries again after that.
#pragma once

#include <cstdint>

namespace gradamp {

/// The most threads that a job can have.
inline constexpr int kMaxPoolThreads = 1024;

/// A function that the threads of a job call, with its context. It does not own anything.
struct ThreadBody {
  void (*call)(const void* context, int thread);
  const void* context;
};

/// Calls body(0) on the calling thread and body(h) at most once on each helper h, 0 < h < `threads`, at the same time.
/// Returns when all these calls have returned. Helpers may come late or not at all. The body must therefore take its
/// work from a counter, and its results must not depend on which thread did what.
///
/// The pool has one job at a time. While it is busy, other jobs run on their calling thread alone, as body(0): jobs
/// that begin inside a body, and jobs of other threads of the program. Waiting would be no faster, since the processors
/// are in use, and could be a deadlock.
///
/// Rethrows the first exception of a body, when all calls have returned. If the system does not permit more threads,
/// the job has fewer. The pool's threads block all signals that are not caused by their own instructions. After a fork
/// the child begins with an empty pool; inside a body, only the thread that began the job may fork.
void run_on_threads(int threads, const ThreadBody& body);

template <typename Body>
void run_on_threads(int threads, const Body& body) {
  run_on_threads(
      threads,
      ThreadBody{[](const void* context, int thread) { (*static_cast<const Body*>(context))(thread); }, &body});
}

/// Changes while this process makes progress: it counts the jobs that have begun, on one thread or more, and the calls
/// of count_progress(). A signal handler may call it.
std::uint64_t progress_count() noexcept;

/// For bodies that run for many seconds. Thread-safe.
void count_progress() noexcept;

}  // namespace gradamp
