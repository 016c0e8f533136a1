// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/rank_exchange.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "gradamp/core/backend.h"

namespace gradamp {
namespace {

constexpr std::int64_t kSliceAlignment = 16;  // elements: 64 bytes, as an allocation has

/// One slice of `gradients` for each rank; undefined if it is empty, because there are fewer elements.
std::vector<Tensor> slices_of(const Tensor& gradients, std::int64_t ranks) {
  const std::int64_t count = gradients.count();
  std::vector<Tensor> slices;
  for (const ShardRange& blocks : shard_ranges((count + kSliceAlignment - 1) / kSliceAlignment, ranks)) {
    const std::int64_t first = blocks.first * kSliceAlignment;
    const std::int64_t end = std::min(count, (blocks.first + blocks.count) * kSliceAlignment);
    slices.push_back(first < end ? gradients.view({end - first}, first) : Tensor());
  }
  return slices;
}

}  // namespace

void check_ranks(int ranks, std::int64_t shards) {
  const bool is_power = std::has_single_bit(static_cast<std::uint64_t>(ranks));
  check(is_power || shards == 1, "expected 1, 2, 4, ... up to {} ranks, one for each of the shards at most, got {}",
        shards, ranks);
  check(ranks <= shards, "{} ranks share the shards of each batch: expected {} shards or a larger power of two, got {}",
        ranks, std::bit_ceil(static_cast<std::uint64_t>(ranks)), shards);
}

ShardRange own_shards(const TensorExchange& ranks, std::int64_t shards) {
  const std::int64_t count = shards / ranks.size();
  return {ranks.rank() * count, count};
}

void sum_gradients(TensorExchange& ranks, const Tensor& gradients) {
  const std::int64_t size = ranks.size();
  if (size == 1) return;
  Backend& backend = gradients.backend();
  const std::vector<Tensor> slices = slices_of(gradients, size);
  const auto own = static_cast<std::size_t>(ranks.rank());
  const Tensor& slice = slices[own];

  std::vector<Tensor> parts(slices.size());  // of this rank's slice, one from each rank
  if (slice.defined()) {
    for (std::size_t r = 0; r < parts.size(); ++r) parts[r] = r == own ? slice : Tensor::empty(backend, slice.shape());
  }
  ranks.exchange(slices, parts);
  if (slice.defined()) {
    for (std::size_t stride = 1; stride < parts.size(); stride *= 2)
      for (std::size_t r = 0; r < parts.size(); r += 2 * stride) backend.add(parts[r], parts[r + stride], parts[r]);
    if (own != 0) backend.cast(parts[0], slice);  // of equal types: a copy
  }
  ranks.exchange(std::vector<Tensor>(slices.size(), slice), slices);
}

void gather_rows(TensorExchange& ranks, const Tensor& rows) {
  const std::int64_t count = rows.count() / ranks.size();  // of each rank
  std::vector<Tensor> blocks;
  for (int r = 0; r < ranks.size(); ++r) blocks.push_back(rows.view({count}, r * count));
  ranks.exchange(std::vector<Tensor>(blocks.size(), blocks[static_cast<std::size_t>(ranks.rank())]), blocks);
}

}  // namespace gradamp
