// SPDX-License-Identifier: MIT
// Shards: the batch of a step is cut into parts. They are computed one after another, each with batch-norm statistics
// of its own, or side by side, with those of the whole batch. Their gradients are summed by one binary tree. The number
// of shards is a property of the run, like its batch size. The numbers do not depend on which process computes which
// shard.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/core/operation_params.h"
#include "gradamp/core/tensor.h"

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

/// Whose statistics the batch norms of a batch's shards have in training.
enum class BatchNormStatistics {
  kLocal,         // of the shard
  kSynchronized,  // of the whole batch
};

/// What batch norms exchange so that shards that are computed side by side have the statistics of the whole batch.
class ShardGroup {
 public:
  virtual ~ShardGroup() = default;

  /// Images of all shards.
  virtual std::int64_t images() const = 0;
  /// Whether the shard of this thread is the one that updates running statistics.
  virtual bool updates_running_statistics() const = 0;
  /// Each shard gives its pair, f32 (2, C), of a batch norm over `pixels` rows of each of its images. Waits until all
  /// have, and returns the pair of the whole batch.
  virtual Tensor merge(BatchNormPair kind, const Tensor& pair, std::int64_t pixels) = 0;
};

/// While a ShardScope lives, its thread computes shard `index`: dropouts draw another mask for each shard. With a
/// group, batch norms in training have the statistics of all its shards. Other threads are not affected. The thread
/// that made it must destroy it.
class ShardScope {
 public:
  explicit ShardScope(std::int64_t index, ShardGroup* group = nullptr);
  ~ShardScope();
  ShardScope(const ShardScope&) = delete;
  ShardScope& operator=(const ShardScope&) = delete;

 private:
  std::int64_t previous_;
  ShardGroup* previous_group_;
};
/// The shard of this thread's ShardScope, or 0.
std::int64_t current_shard();
/// The group of this thread's ShardScope; null: none.
ShardGroup* current_shard_group();

}  // namespace gradamp
