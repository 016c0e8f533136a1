// SPDX-License-Identifier: MIT
// What the ranks of a run (core/communicator.h) exchange in a step. Rank r of R has the shards r S / R to (r + 1) S / R
// - 1, which are a whole subtree of optim/gradient_tree.h: so the bits are those that one process computes.
//
// Device cpu, whose tensors are host memory.
#pragma once

#include <cstdint>

#include "gradamp/core/communicator.h"
#include "gradamp/core/device.h"
#include "gradamp/core/shard.h"
#include "gradamp/core/step_state.h"
#include "gradamp/core/tensor.h"

namespace gradamp {

/// Error unless the number of ranks is a power of two and at most that of the shards.
void check_rank_count(std::int64_t ranks, std::int64_t shards);
/// Error unless the number of ranks is a power of two and at most that of the shards, and the device is one for which
/// ranks are built.
void check_ranks(const Communicator& ranks, std::int64_t shards, const Device& device);

/// The shards that this rank computes.
ShardRange own_shards(const Communicator& ranks, std::int64_t shards);

/// Sums the ranks' gradients, each the sum of its shards, into the gradient of every rank. Each rank receives a slice
/// of all gradients, sums it by the tree, and sends the sum to all: 2 (R - 1) / R times the gradient's size per rank,
/// in both directions.
void sum_gradients(Communicator& ranks, const Tensor& gradients);

/// `rows` (shards, ...), of which this rank has filled those of its shards: fills the others.
void gather_rows(Communicator& ranks, const Tensor& rows);

/// Adds each shard's metrics, f64 (shards, kStepMetricCount), to the step's, in their order, and marks the step if a
/// loss is not finite: what one process does that computes all shards.
void add_metrics(const Tensor& of_shards, const StepState& state);

}  // namespace gradamp
