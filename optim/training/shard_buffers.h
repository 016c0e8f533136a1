// SPDX-License-Identifier: MIT
// ShardBuffers: what a batch's shards (core/shard.h) do to the running statistics of batch norms, and to the buffers of
// your own modules. Each shard updates them from their values before the step. Then they become the mean of what the
// shards made of them, weighted by images, in the shards' order: that of the ranks' buffers in PyTorch's
// DistributedDataParallel with broadcast_buffers=False.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/layers/module.h"

namespace gradamp {

class ShardBuffers {
 public:
  /// For one step of a network. `fractions`, f32 (shards): of each shard in the batch's images.
  ShardBuffers(Module& network, Tensor fractions);
  /// Call it before the forward of a shard that has images.
  void begin_shard() const;
  /// Call it after that forward.
  void end_shard(std::int64_t shard) const;
  /// What each shard made of the buffers, f32 (shards, ...): a row is written by end_shard.
  const Tensor& rows() const { return rows_; }
  /// Call it once all rows are written. Those of shards without images are not read.
  void end_step(const std::vector<bool>& has_images) const;

 private:
  struct Buffer {
    Tensor value;  // the network's
    std::int64_t begin;
  };
  void copy_to(const Tensor& row) const;
  void copy_from(const Tensor& row) const;
  Tensor row(std::int64_t shard) const;

  Tensor fractions_;
  std::vector<Buffer> buffers_;
  std::int64_t length_ = 0;  // of a row
  Tensor before_;            // the step
  Tensor rows_;
};

}  // namespace gradamp
