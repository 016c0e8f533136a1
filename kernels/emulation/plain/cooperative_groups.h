// SPDX-License-Identifier: MIT
// CUDA's cooperative groups, as far as one block goes: thread_block, tiles of up to 32 threads, and coalesced groups.
#pragma once

#include <bit>

#include "gradamp/kernels/emulation/plain/plain.h"

namespace cooperative_groups {

namespace emulated = gradamp::emulated;
using Location = gradamp::emulation::SourceLocation;

class thread_block {
 public:
  static void sync(Location location = Location::here()) { emulated::__syncthreads(location); }
  static unsigned size() { return emulated::blockDim.x * emulated::blockDim.y * emulated::blockDim.z; }
  static unsigned num_threads() { return size(); }
  static unsigned thread_rank() {
    using namespace gradamp::emulated;
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  }
  static emulated::dim3 group_index() { return {emulated::blockIdx.x, emulated::blockIdx.y, emulated::blockIdx.z}; }
  static emulated::dim3 thread_index() { return {emulated::threadIdx.x, emulated::threadIdx.y, emulated::threadIdx.z}; }
};

inline thread_block this_thread_block() { return {}; }

/// kSize: a power of two up to 32.
template <unsigned kSize, typename Parent = thread_block>
class thread_block_tile {
  static_assert(kSize >= 1 && kSize <= 32 && (kSize & (kSize - 1)) == 0);

 public:
  static constexpr unsigned size() { return kSize; }
  static constexpr unsigned num_threads() { return kSize; }
  unsigned thread_rank() const { return thread_block::thread_rank() % kSize; }
  unsigned meta_group_rank() const { return thread_block::thread_rank() / kSize; }
  unsigned meta_group_size() const { return (thread_block::size() + kSize - 1) / kSize; }
  void sync(Location location = Location::here()) const { emulated::__syncwarp(mask(), location); }

  template <typename T>
  T shfl(T value, int source, Location location = Location::here()) const {
    return emulated::__shfl_sync(mask(), value, source, kSize, location);
  }
  template <typename T>
  T shfl_down(T value, unsigned delta, Location location = Location::here()) const {
    return emulated::__shfl_down_sync(mask(), value, delta, kSize, location);
  }
  template <typename T>
  T shfl_up(T value, unsigned delta, Location location = Location::here()) const {
    return emulated::__shfl_up_sync(mask(), value, delta, kSize, location);
  }
  template <typename T>
  T shfl_xor(T value, int bits, Location location = Location::here()) const {
    return emulated::__shfl_xor_sync(mask(), value, bits, kSize, location);
  }
  int any(int predicate, Location location = Location::here()) const {
    return emulated::__any_sync(mask(), predicate, location);
  }
  int all(int predicate, Location location = Location::here()) const {
    return emulated::__all_sync(mask(), predicate, location);
  }
  unsigned ballot(int predicate, Location location = Location::here()) const {
    return emulated::__ballot_sync(mask(), predicate, location) >> first();
  }

 private:
  unsigned first() const { return thread_block::thread_rank() % 32 / kSize * kSize; }
  unsigned mask() const { return kSize == 32 ? 0xffffffffu : ((1u << kSize % 32) - 1) << first(); }
};

template <unsigned kSize, typename Parent>
thread_block_tile<kSize, Parent> tiled_partition(const Parent&) {
  return {};
}

/// The lanes of a warp that are at one line: see __activemask.
class coalesced_group {
 public:
  explicit coalesced_group(unsigned lanes) : lanes_(lanes) {}

  unsigned size() const { return static_cast<unsigned>(std::popcount(lanes_)); }
  unsigned num_threads() const { return size(); }
  unsigned thread_rank() const {
    return static_cast<unsigned>(std::popcount(lanes_ & ((1u << gradamp::emulation::lane()) - 1)));
  }
  void sync(Location location = Location::here()) const { emulated::__syncwarp(lanes_, location); }

  template <typename T>
  T shfl(T value, unsigned rank, Location location = Location::here()) const {
    return emulated::__shfl_sync(lanes_, value, lane_of(rank % size()), 32, location);
  }
  template <typename T>
  T shfl_down(T value, unsigned delta, Location location = Location::here()) const {
    const unsigned rank = thread_rank();
    return emulated::__shfl_sync(lanes_, value, lane_of(rank + delta < size() ? rank + delta : rank), 32, location);
  }
  template <typename T>
  T shfl_up(T value, unsigned delta, Location location = Location::here()) const {
    const unsigned rank = thread_rank();
    return emulated::__shfl_sync(lanes_, value, lane_of(rank >= delta ? rank - delta : rank), 32, location);
  }
  int any(int predicate, Location location = Location::here()) const {
    return emulated::__any_sync(lanes_, predicate, location);
  }
  int all(int predicate, Location location = Location::here()) const {
    return emulated::__all_sync(lanes_, predicate, location);
  }
  /// Bit r: the thread of rank r.
  unsigned ballot(int predicate, Location location = Location::here()) const {
    const unsigned votes = emulated::__ballot_sync(lanes_, predicate, location);
    unsigned packed = 0;
    for (unsigned rank = 0; rank < size(); ++rank) packed |= (votes >> lane_of(rank) & 1u) << rank;
    return packed;
  }

 private:
  int lane_of(unsigned rank) const {
    unsigned lanes = lanes_;
    for (; rank > 0; --rank) lanes &= lanes - 1;
    return std::countr_zero(lanes);
  }

  unsigned lanes_;
};

inline coalesced_group coalesced_threads(Location location = Location::here()) {
  return coalesced_group(emulated::__activemask(location));
}

template <typename T>
struct plus {
  T operator()(T a, T b) const { return a + b; }
};
template <typename T>
struct less {
  T operator()(T a, T b) const { return b < a ? b : a; }
};
template <typename T>
struct greater {
  T operator()(T a, T b) const { return a < b ? b : a; }
};

/// All threads of the tile get the combination of their values; as in <cooperative_groups/reduce.h>.
template <unsigned kSize, typename Parent, typename T, typename Operation>
T reduce(const thread_block_tile<kSize, Parent>& tile, T value, Operation operation,
         Location location = Location::here()) {
  for (unsigned offset = kSize / 2; offset > 0; offset /= 2)
    value = operation(value, tile.shfl_xor(value, static_cast<int>(offset), location));
  return value;
}

template <typename Group>
void sync(const Group& group, Location location = Location::here()) {
  group.sync(location);
}

}  // namespace cooperative_groups
