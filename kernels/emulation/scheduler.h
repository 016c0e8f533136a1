// SPDX-License-Identifier: MIT
// How a running CUDA thread waits for others: the basis of the device intrinsics. The threads themselves are in
// block_runner.h.
#pragma once

#include <cstdint>
#include <string>

#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

/// A kind of warp collective. Every lane passes a pointer to its payload: arguments and memory for results. The last
/// lane to arrive computes the results of all.
struct WarpOperation {
  const char* name;
  /// As PTX's .aligned: the whole warp takes part, at one source location.
  bool aligned;
  /// `payloads` has 32 entries; only those of the set bits of `lanes` are valid. May be null.
  void (*run)(void* const* payloads, std::uint32_t lanes);
};

/// __syncwarp, the only one that orders memory accesses.
extern const WarpOperation kSyncWarp;

/// Waits until all lanes of `mask` have arrived at the same operation and one of them has run it.
void join_warp_operation(const WarpOperation& operation, std::uint32_t mask, void* payload,
                         const SourceLocation& location);

/// The same for an operation that is a type P with `static void run(P* const*, std::uint32_t lanes)`,
/// `static constexpr const char* kName` and `static constexpr bool kAligned`.
template <typename P>
void join_warp_operation(std::uint32_t mask, P& payload, const SourceLocation& location) {
  static constexpr WarpOperation kOperation{P::kName, P::kAligned, [](void* const* payloads, std::uint32_t lanes) {
                                              P::run(reinterpret_cast<P* const*>(payloads), lanes);
                                            }};
  join_warp_operation(kOperation, mask, &payload, location);
}

/// Waits until every thread of the block has arrived; returns the number of threads whose `predicate` holds.
int join_block_barrier(bool predicate, const SourceLocation& location);

/// barrier.cta: waits until `threads` threads of the block, whole warps, have arrived at the barrier `id` (1 to 15).
void join_named_barrier(int id, int threads, const SourceLocation& location);

/// elect.sync with all 32 lanes: true in one of them.
bool elect_lane(const SourceLocation& location);

/// Waits until no other lane of the warp can run. Returns the lanes that then wait here, at this source location.
std::uint32_t join_active_mask(const SourceLocation& location);

/// The running thread's index in its warp.
unsigned lane();

/// The two halves of fail_thread.
void note_failure(const std::string& what);
[[noreturn]] void end_failed_thread();

/// Ends the launch, which throws Error with the text that describe() returns. If called from the host, throws at once.
template <typename Describe>
[[noreturn]] void fail_thread(const Describe& describe) {
  note_failure(describe());  // whose temporary objects are destroyed before the thread ends: see BlockRunner::fail
  end_failed_thread();
}

}  // namespace gradamp::emulation
