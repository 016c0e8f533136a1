// SPDX-License-Identifier: MIT
// ShardsInStep: the shards of a batch (core/shard.h), computed side by side from one batch norm to the next, so that
// all have the statistics of the whole batch: `--batch-norm synchronized`.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "gradamp/core/shard.h"
#include "gradamp/core/tensor_exchange.h"
#include "gradamp/optim/parameter_arena.h"
#include "gradamp/optim/training/lockstep.h"

namespace gradamp {

/// Error if the network has buffers other than the running statistics of batch norms: each shard would update them
/// between the others.
void check_synchronized_buffers(Module& network);

class ShardsInStep final : public ShardGroup {
 public:
  /// For one step, whose shards have `images`, f32 (shards) and the same numbers on the host. This process computes the
  /// shards `own`, and `ranks`, if it is not null, the others.
  ShardsInStep(const ParameterArena& arena, Tensor images, std::vector<std::int64_t> counts, ShardRange own,
               TensorExchange* ranks);

  /// Calls forward_and_backward(i) for each of this process's shards that have images. If none has, calls it for the
  /// first of them, whose results do not count: the batch norms of the other ranks wait for this one.
  void run(const std::function<void(std::int64_t shard)>& forward_and_backward);
  /// After run(): the shard's gradient, in memory like the arena's. Undefined for a shard without images.
  Tensor gradient_of(std::int64_t shard) const;

  std::int64_t images() const override;
  bool updates_running_statistics() const override;
  Tensor merge(BatchNormPair kind, const Tensor& pair, std::int64_t pixels) override;

 private:
  /// A shard that is computed, with its own gradients while others use the parameters.
  struct Member {
    std::int64_t shard;
    Tensor gradients;
    std::vector<GradientTarget::LeafGradient> of_parameters;
  };

  static std::vector<Member> members_of(const ParameterArena& arena, const std::vector<std::int64_t>& counts,
                                        ShardRange own);
  void switch_to(int member);
  void swap_gradients(int member);

  const ParameterArena& arena_;
  Tensor images_;
  std::vector<std::int64_t> counts_;
  TensorExchange* ranks_;
  std::vector<Member> members_;
  Lockstep lockstep_;
  int active_ = -1;        // the member whose gradients the parameters have; -1: the arena's
  Tensor pairs_, merged_;  // of this meeting
};

}  // namespace gradamp
