// SPDX-License-Identifier: MIT
// CUDA's intrinsics that concern threads: indices, barriers, shuffles, votes, fences.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/source_location.h"
#include "gradamp/kernels/emulation/vector_types.h"

namespace gradamp::emulation {

void thread_fence();

struct Ballot {
  static constexpr const char* kName = "a vote";
  static constexpr bool kAligned = false;

  bool predicate;
  std::uint32_t votes = 0;

  static void run(Ballot* const* payloads, std::uint32_t lanes) {
    std::uint32_t votes = 0;
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
      const int lane = std::countr_zero(left);
      votes |= std::uint32_t{payloads[lane]->predicate} << lane;
    }
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) payloads[std::countr_zero(left)]->votes = votes;
  }
};

enum class ShuffleKind { kIndex, kXor, kUp, kDown };

constexpr const char* name_of(ShuffleKind kind) {
  switch (kind) {
    case ShuffleKind::kIndex: return "__shfl_sync";
    case ShuffleKind::kXor: return "__shfl_xor_sync";
    case ShuffleKind::kUp: return "__shfl_up_sync";
    case ShuffleKind::kDown: return "__shfl_down_sync";
  }
  return "?";
}

template <typename T, ShuffleKind kKind>
struct Shuffle {
  static constexpr const char* kName = name_of(kKind);
  static constexpr bool kAligned = false;

  T value;
  unsigned source;  // a lane
  T result = value;

  static void run(Shuffle* const* payloads, std::uint32_t lanes) {
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
      Shuffle& payload = *payloads[std::countr_zero(left)];
      if (lanes >> payload.source & 1)
        payload.result = payloads[payload.source]->value;
      else
        std::memset(static_cast<void*>(&payload.result), 0xFF, sizeof(T));  // undefined in CUDA; NaN here
    }
  }
};

// A shuffle exchanges values within groups of `width` lanes, a power of two.
struct LaneGroup {
  unsigned first, width;

  explicit LaneGroup(int group_width)
      : first(lane() & ~(static_cast<unsigned>(group_width) - 1)), width(static_cast<unsigned>(group_width)) {}
};

template <ShuffleKind kKind, typename T>
T shuffle(unsigned mask, T value, unsigned source, const SourceLocation& location) {
  static_assert(std::is_trivially_copyable_v<T>);
  Shuffle<T, kKind> payload{value, source};
  join_warp_operation(mask, payload, location);
  return payload.result;
}

}  // namespace gradamp::emulation

namespace gradamp::emulated {

// constinit: without it every access would call a function that checks whether the variable needs construction.
inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim{};
inline constinit thread_local dim3 gridDim{};
inline constexpr int warpSize = 32;

inline void __syncthreads(emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::join_block_barrier(false, location);
}
inline int __syncthreads_count(int predicate, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::join_block_barrier(predicate != 0, location);
}
inline int __syncthreads_or(int predicate, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::join_block_barrier(predicate != 0, location) > 0;
}
inline int __syncthreads_and(int predicate, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::join_block_barrier(predicate == 0, location) == 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu,
                       emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::join_warp_operation(emulation::kSyncWarp, mask, nullptr, location);
}

/// Fences need no work here: within a block one thread runs at a time and sees all earlier writes, and between blocks
/// the atomics order them (memory_intrinsics.h). Only the race checker is notified.
inline void __threadfence() { emulation::thread_fence(); }

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::Ballot payload{predicate != 0};
  emulation::join_warp_operation(mask, payload, location);
  return payload.votes;
}
inline int __any_sync(unsigned mask, int predicate,
                      emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return __ballot_sync(mask, predicate != 0, location) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return __ballot_sync(mask, predicate == 0, location) == 0;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const emulation::LaneGroup group(width);
  return emulation::shuffle<emulation::ShuffleKind::kIndex>(
      mask, value, group.first + (static_cast<unsigned>(source) & (group.width - 1)), location);
}

/// A lane may read from a lower group but not from a higher one: then it gets its own value.
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                  emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const emulation::LaneGroup group(width);
  const unsigned other = emulation::lane() ^ static_cast<unsigned>(bits);
  return emulation::shuffle<emulation::ShuffleKind::kXor>(
      mask, value, other < group.first + group.width ? other : emulation::lane(), location);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const emulation::LaneGroup group(width);
  const unsigned other = emulation::lane() + delta;
  return emulation::shuffle<emulation::ShuffleKind::kDown>(
      mask, value, other < group.first + group.width ? other : emulation::lane(), location);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const emulation::LaneGroup group(width);
  return emulation::shuffle<emulation::ShuffleKind::kUp>(
      mask, value, emulation::lane() >= group.first + delta ? emulation::lane() - delta : emulation::lane(), location);
}

}  // namespace gradamp::emulated
