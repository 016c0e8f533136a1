// SPDX-License-Identifier: MIT
// GradientTree: the sum of the gradients of a batch's shards (core/shard.h) by one binary tree. With shards 0 to 3 it
// is
//   (g0 + g1) + (g2 + g3)
// in f32, element by element. Any number of devices that divides the number of shards computes whole subtrees, so the
// bits of the sum do not depend on it.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/core/tensor.h"

namespace gradamp {

class GradientTree {
 public:
  /// `shards`: a power of two.
  explicit GradientTree(std::int64_t shards) : shards_(shards) {}
  /// Call it with the gradient of each shard in turn, f32, in one tensor. It adds those of earlier shards, as far as
  /// they form a subtree with this one: after the last shard the tensor has the sum of all.
  void add(const Tensor& gradient);
  /// Whether all shards were added.
  bool is_complete() const { return added_ == shards_; }

 private:
  std::int64_t shards_, added_ = 0;
  std::vector<Tensor> subtrees_;  // the sums of subtrees that wait for their neighbors, the largest first
};

}  // namespace gradamp
