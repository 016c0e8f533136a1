// SPDX-License-Identifier: MIT
// Tensor loads (TMA): copies of boxes of a tensor to shared memory, which complete on an mbarrier. A load arrives as
// late as the program permits: when no thread can run, and one waits for its mbarrier. Until then its target contains
// NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/source_location.h"
#include "gradamp/kernels/emulation/tensor_map.h"

namespace gradamp::emulation {

/// cp.async.bulk.tensor with as many dimensions as there are coordinates. `offsets` is null if not im2col.
void load_tensor(void* target, const TensorMap* map, std::uint64_t* barrier, std::span<const int> coordinates,
                 const std::uint16_t* offsets, const SourceLocation& location);

class Mbarriers;
class SharedView;
struct Thread;
class WgmmaProducts;

struct TensorLoad {
  std::uint32_t begin, bytes;  // in shared memory
  TensorMap map;               // a copy: the thread's own is gone when it returns
  std::size_t barrier;         // index
  int coordinates[TensorMap::kMaxRank];
  std::uint16_t offsets[TensorMap::kMaxRank];
  SourceLocation location;
  const Thread* thread;  // and `code`: for the race checker
  const void* code;
};

/// The loads of the block that a BlockRunner runs.
class TensorLoads {
 public:
  void begin_block() { pending_.clear(); }

  /// `load` lacks `begin`, `bytes`, `map` and `barrier`.
  void issue(TensorLoad load, void* target, const TensorMap& map, const std::uint64_t* barrier, int rank, bool im2col);
  /// Completes a load that a thread waits for; false if there is none.
  bool land_one(SharedView& view, Mbarriers& mbarriers);
  const std::vector<TensorLoad>& pending() const { return pending_; }
  /// Describes a load that had not arrived when the block ended; "" if there is none.
  std::string leftover() const;

 private:
  void check_target(const TensorLoad& load) const;

  std::vector<TensorLoad> pending_;
  std::vector<char> bytes_;  // of the load that lands
};

}  // namespace gradamp::emulation
