// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/rank_exchange.h"

#include <bit>
#include <cmath>
#include <vector>

#include "gradamp/core/backend.h"

namespace gradamp {
namespace {

std::span<std::byte> bytes_of(const Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.raw_data()), tensor.bytes()};
}

}  // namespace

void check_rank_count(std::int64_t ranks, std::int64_t shards) {
  const bool is_power = std::has_single_bit(static_cast<std::uint64_t>(ranks));
  check(is_power || shards == 1, "expected 1, 2, 4, ... up to {} ranks, one for each of the shards at most, got {}",
        shards, ranks);
  check(ranks <= shards, "{} ranks share the shards of each batch: expected {} shards or a larger power of two, got {}",
        ranks, std::bit_ceil(static_cast<std::uint64_t>(ranks)), shards);
}

void check_ranks(const Communicator& ranks, std::int64_t shards, const Device& device) {
  check_rank_count(ranks.size(), shards);
  check(ranks.size() == 1 || device.kind == DeviceKind::kCpu, "expected the device cpu for several ranks, got {}",
        to_string(device));
}

ShardRange own_shards(const Communicator& ranks, std::int64_t shards) {
  const std::int64_t count = shards / ranks.size();
  return {ranks.rank() * count, count};
}

void sum_gradients(Communicator& ranks, const Tensor& gradients) {
  const std::int64_t size = ranks.size();
  if (size == 1) return;
  Backend& backend = gradients.backend();
  std::vector<Tensor> slices;  // of this rank's gradient, one for each rank
  for (const ShardRange& slice : shard_ranges(gradients.count(), size))
    slices.push_back(gradients.view({slice.count}, slice.first));
  const auto own = static_cast<std::size_t>(ranks.rank());

  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;
  std::vector<Tensor> parts;  // of this rank's slice, one from each rank
  for (std::size_t r = 0; r < slices.size(); ++r) {
    parts.push_back(r == own ? slices[own] : Tensor::empty(backend, slices[own].shape()));
    send.push_back(bytes_of(slices[r]));
    receive.push_back(bytes_of(parts[r]));
  }
  ranks.exchange(send, receive);
  for (std::size_t stride = 1; stride < parts.size(); stride *= 2)
    for (std::size_t r = 0; r < parts.size(); r += 2 * stride) backend.add(parts[r], parts[r + stride], parts[r]);
  if (own != 0) backend.cast(parts[0], slices[own]);  // of equal types: a copy

  for (std::size_t r = 0; r < slices.size(); ++r) {
    send[r] = bytes_of(slices[own]);
    receive[r] = bytes_of(slices[r]);
  }
  ranks.exchange(send, receive);
}

void gather_rows(Communicator& ranks, const Tensor& rows) { all_gather(ranks, bytes_of(rows)); }

void add_metrics(const Tensor& of_shards, const StepState& state) {
  const double* parts = of_shards.data<double>();
  double* metrics = state.metrics.data<double>();
  std::int64_t* counters = state.counters.data<std::int64_t>();
  for (std::int64_t shard = 0; shard < of_shards.shape()[0]; ++shard, parts += kStepMetricCount) {
    for (int i = 0; i < kStepMetricCount; ++i) metrics[i] += parts[i];
    if (!std::isfinite(parts[kLossSum]) && counters[kFirstBadStep] == 0) counters[kFirstBadStep] = counters[kStep] + 1;
  }
}

}  // namespace gradamp
