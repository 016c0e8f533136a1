// SPDX-License-Identifier: MIT
// What the ranks of a run (core/communicator.h) exchange in a step, on any device. Rank r of R has the shards r S / R
// to (r + 1) S / R - 1, which are a whole subtree of optim/gradient_tree.h: so the bits are those that one process
// computes.
#pragma once

#include <cstdint>

#include "gradamp/core/shard.h"
#include "gradamp/core/tensor.h"
#include "gradamp/core/tensor_exchange.h"

namespace gradamp {

/// Error unless the number of ranks is a power of two and at most that of the shards.
void check_ranks(int ranks, std::int64_t shards);

/// The shards that this rank computes.
ShardRange own_shards(const TensorExchange& ranks, std::int64_t shards);

/// Sums the ranks' gradients, each the sum of its shards, into the gradient of every rank. Each rank receives a slice
/// of all gradients, sums it by the tree, and sends the sum to all: 2 (R - 1) / R times the gradient's size per rank,
/// in both directions.
void sum_gradients(TensorExchange& ranks, const Tensor& gradients);

/// `rows` (shards, ...), of which this rank has filled those of its shards: fills the others.
void gather_rows(TensorExchange& ranks, const Tensor& rows);

}  // namespace gradamp
