// SPDX-License-Identifier: MIT
// How a running CUDA thread waits for others: what the words for device code are made of. The threads themselves are in
// block_runner.h.
#pragma once

#include <cstdint>
#include <string>

#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

/// A kind of warp collective. Every lane leaves a pointer to its payload, arguments and place for results; the last to
/// arrive does the work of all.
struct WarpOperation {
  const char* name;
  /// As PTX's .aligned: the whole warp takes part, at one place in the code.
  bool aligned;
  /// `payloads` has 32 entries; those of the set bits of `lanes` are there. May be null.
  void (*run)(void* const* payloads, std::uint32_t lanes);
};

/// __syncwarp, the one that orders memory.
extern const WarpOperation kSyncWarp;

/// Waits until all the lanes of `mask` have come to the same operation and one of them has run it.
void join_warp_operation(const WarpOperation& operation, std::uint32_t mask, void* payload,
                         const SourceLocation& location);

/// The same for operations written as a type P with `static void run(P* const*, std::uint32_t lanes)`,
/// `static constexpr const char* kName` and `static constexpr bool kAligned`.
template <typename P>
void join_warp_operation(std::uint32_t mask, P& payload, const SourceLocation& location) {
  static constexpr WarpOperation kOperation{P::kName, P::kAligned, [](void* const* payloads, std::uint32_t lanes) {
                                              P::run(reinterpret_cast<P* const*>(payloads), lanes);
                                            }};
  join_warp_operation(kOperation, mask, &payload, location);
}

/// Waits until every thread of the block is here; returns how many came with a `predicate` that holds.
int join_block_barrier(bool predicate, const SourceLocation& location);

/// The running thread's place in its warp.
unsigned lane();

/// Ends the launch: throws Error from it with `what` and where it happened. From the host, throws at once.
[[noreturn]] void fail_thread(const std::string& what);

}  // namespace gradamp::emulation
