// SPDX-License-Identifier: MIT
// ShardBuffers: what a batch's shards (core/shard.h) do to the running statistics of batch norms, and to the buffers of
// your own modules. Each shard updates them from their values before the step. Then they become the mean of what the
// shards made of them, weighted by images: that of the ranks' buffers in PyTorch's DistributedDataParallel with
// broadcast_buffers=False.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/layers/module.h"

namespace gradamp {

class ShardBuffers {
 public:
  /// For one step of a network. `fractions`, f32 (shards): of each shard in the batch's images.
  ShardBuffers(Module& network, Tensor fractions);
  /// Call it before the forward of shard `index`, which has images.
  void begin_shard();
  /// Call it after that forward.
  void end_shard(std::int64_t index);
  /// Call it after the last shard.
  void end_step();

 private:
  struct Buffer {
    Tensor value;   // the network's
    Tensor before;  // the step
    Tensor mean;    // so far
  };
  Tensor fractions_;
  std::vector<Buffer> buffers_;
  bool is_first_ = true;
};

}  // namespace gradamp
