// SPDX-License-Identifier: MIT
// mbarriers: barriers in shared memory. A phase is complete when as many threads have arrived as mbarrier.init says,
// and all bytes that they announced have been copied. The next phase then begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

void init_mbarrier(std::uint64_t* barrier, std::uint32_t arrivals, const SourceLocation& location);
/// The async proxy sees the mbarriers that the running thread initialized: fence.mbarrier_init.
void fence_mbarrier_init();
/// Announces bytes that this phase waits for, then arrives.
void arrive_mbarrier(std::uint64_t* barrier, std::uint32_t expected_bytes, const SourceLocation& location);
/// Waits until the phase of this parity is complete. Phases have the parities 0, 1, 0, ...
void wait_mbarrier(std::uint64_t* barrier, std::uint32_t parity, const SourceLocation& location);

/// The mbarriers of the block that a BlockRunner runs.
class Mbarriers {
 public:
  void begin_block() { barriers_.clear(); }

  void init(std::uint64_t* barrier, std::uint32_t arrivals, const SourceLocation& location);
  /// What the thread of this rank initialized becomes visible to the async proxy.
  void fence(unsigned rank);
  void arrive(std::uint64_t* barrier, std::uint32_t expected_bytes, const SourceLocation& location);
  void wait(std::uint64_t* barrier, std::uint32_t parity, const SourceLocation& location);

  /// For copies: the index of an mbarrier that the async proxy can see. The thread fails if there is none.
  std::size_t index_for_copy(const std::uint64_t* barrier, const SourceLocation& location) const;
  bool is_awaited(std::size_t index) const { return !barriers_[index].waiters.empty(); }
  void copied(std::size_t index, std::uint32_t bytes);

  /// For each mbarrier that threads wait for: what its phase lacks.
  std::string describe_awaited() const;

 private:
  struct Barrier {
    std::uint64_t* word;
    std::uint32_t expected;    // arrivals per phase
    std::uint32_t pending;     // arrivals that this phase lacks
    std::int64_t bytes = 0;    // that this phase lacks
    std::uint32_t parity = 0;  // of this phase
    unsigned initialized_by;   // rank
    bool visible = false;      // to the async proxy
    SourceLocation location;
    std::vector<unsigned> waiters;  // ranks
  };

  bool is_initialized(const std::uint64_t* barrier) const;
  std::size_t find(const std::uint64_t* barrier, const char* instruction, const SourceLocation& location) const;
  bool complete_phase(Barrier& barrier);

  std::vector<Barrier> barriers_;
};

}  // namespace gradamp::emulation
