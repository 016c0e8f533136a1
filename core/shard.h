// SPDX-License-Identifier: MIT
// Shards: the batch of a step is cut into parts that are computed one after another. Each has batch-norm statistics of
// its own, and their gradients are summed by one binary tree. The number of shards is a property of the run, like its
// batch size. The numbers do not depend on which process computes which shard.
#pragma once

#include <cstdint>
#include <vector>

namespace gradamp {

/// The most shards of a batch.
inline constexpr std::int64_t kMaxShards = 128;
/// Error unless `shards` is a power of two from 1 to kMaxShards and a batch of `batch_size` images has one for each.
void check_shards(std::int64_t shards, std::int64_t batch_size);

/// A shard's images of a batch.
struct ShardRange {
  std::int64_t first = 0, count = 0;
};
/// Cuts `images` images into `shards` ranges, in order, whose sizes differ by at most one. If there are fewer images
/// than shards, some are empty.
std::vector<ShardRange> shard_ranges(std::int64_t images, std::int64_t shards);

/// While a ShardScope lives, its thread computes the forward of shard `index`: dropouts draw another mask for each
/// shard. Other threads are not affected. The thread that made it must destroy it.
class ShardScope {
 public:
  explicit ShardScope(std::int64_t index);
  ~ShardScope();
  ShardScope(const ShardScope&) = delete;
  ShardScope& operator=(const ShardScope&) = delete;

 private:
  std::int64_t previous_;
};
/// The shard of this thread's ShardScope, or 0.
std::int64_t current_shard();

}  // namespace gradamp
