// SPDX-License-Identifier: MIT
#include "gradamp/core/shard.h"

#include <bit>
#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

thread_local std::int64_t shard = 0;
thread_local ShardGroup* group = nullptr;

}  // namespace

void check_shards(std::int64_t shards, std::int64_t batch_size) {
  check(shards >= 1 && shards <= kMaxShards && std::has_single_bit(static_cast<std::uint64_t>(shards)),
        "expected a number of shards of 1, 2, 4, ... up to {}, got {}", kMaxShards, shards);
  check(shards <= batch_size, "expected at most one shard per image of a batch: {} images, got {} shards", batch_size,
        shards);
}

std::vector<ShardRange> shard_ranges(std::int64_t images, std::int64_t shards) {
  std::vector<ShardRange> ranges;
  for (std::int64_t i = 0; i < shards; ++i) {
    const std::int64_t first = images * i / shards;
    ranges.push_back({first, images * (i + 1) / shards - first});
  }
  return ranges;
}

ShardScope::ShardScope(std::int64_t index, ShardGroup* of)
    : previous_(std::exchange(shard, index)), previous_group_(std::exchange(group, of)) {}
ShardScope::~ShardScope() {
  shard = previous_;
  group = previous_group_;
}

std::int64_t current_shard() { return shard; }
ShardGroup* current_shard_group() { return group; }

}  // namespace gradamp
