// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/training_steps.h"

#include <algorithm>
#include <cstring>

#include "gradamp/core/shard.h"
#include "gradamp/optim/training/evaluator.h"
#include "gradamp/optim/training/rank_exchange.h"
#include "gradamp/optim/training/shard_buffers.h"
#include "gradamp/optim/training/shards_in_step.h"

namespace gradamp {
namespace {

template <typename T>
T element(std::span<const std::byte> bytes, int place) {
  T value;
  std::memcpy(&value, bytes.data() + static_cast<std::size_t>(place) * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

TrainingSteps::TrainingSteps(const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size,
                             const StepState& state, Module& network, Optimizer& optimizer,
                             const CrossEntropyParams& loss)
    : data_(data),
      gather_(gather),
      batch_size_(batch_size),
      state_(state),
      network_(network),
      optimizer_(optimizer),
      loss_(loss),
      backend_(data.images.backend()),
      order_(Tensor::empty(backend_, {data.count}, DType::kI32)) {
  check(batch_size >= 1, "expected steps of 1 or more images, got {}", batch_size);
}

TrainingSteps::TrainingSteps(const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size,
                             const StepState& state, Module& network, Optimizer& optimizer,
                             const CrossEntropyParams& loss, std::int64_t shards, TensorExchange* ranks,
                             BatchNormStatistics statistics)
    : TrainingSteps(data, gather, batch_size, state, network, optimizer, loss) {
  check_shards(shards, batch_size);
  if (ranks != nullptr) check_ranks(ranks->size(), shards);
  if (statistics == BatchNormStatistics::kSynchronized) check_synchronized_buffers(network);
  shards_ = shards;
  statistics_ = statistics;
  ranks_ = ranks != nullptr && ranks->size() > 1 ? ranks : nullptr;
}

void TrainingSteps::begin_epoch(int epoch) {
  polls_.clear();
  write_order(order_, static_cast<std::uint64_t>(state_.counter(kSeed)), epoch);
}

void TrainingSteps::run(std::int64_t count) {
  std::unique_ptr<Recording>& step = steps_[{count, optimizer_.step_kind()}];
  if (!step) step = recorded_step(count);
  try {
    step->replay();
  } catch (const OutOfMemory& error) {
    check(ranks_ == nullptr, "a step of {} images: {}; try a smaller batch size", count, error.what());
    const std::int64_t fits = largest_batch();
    fail("a step of {} images: {}; {}", count, error.what(),
         fits > 0 ? fmt::format("a batch size of {} would fit", fits)
                  : fmt::format("not even a step of {} fits", shards_ == 1 ? "one image" : "one image per shard"));
  }
}

std::unique_ptr<Recording> TrainingSteps::recorded_step(std::int64_t count) {
  if (shards_ > 1 && shard_values_.count(count) == 0) shard_values_[count] = shard_values(count);
  return backend_.record([this, count] { compute(count); });
}

/// All work of a step: the part that is recorded.
void TrainingSteps::compute(std::int64_t count) const {
  const Batch batch = gather_batch(data_.images, data_.labels, order_, count, state_, gather_);
  if (shards_ == 1) {
    optimizer_.begin_step();
    differentiate(batch, count, state_);
  } else {
    differentiate_shards(batch);
  }
  optimizer_.step();
  backend_.advance_step(state_, count);
}

/// Forward and backward of the sum of the images' losses, divided by `divisor`.
void TrainingSteps::differentiate(const Batch& batch, std::int64_t divisor, const StepState& state) const {
  const std::int64_t count = batch.images.shape()[0];
  CrossEntropyParams params = loss_;
  params.divisor = divisor;
  // The logits' handle ends before the backward, so that backward() can release their graph as it walks it.
  const Variable loss = softmax_cross_entropy(
      checked_logits(network_.forward(Variable(batch.images), Mode::kTraining), count, data_.classes), batch.labels,
      state, params);
  loss.backward();
}

/// The same for the batch's shards: those of this rank, and then what the others have computed.
void TrainingSteps::differentiate_shards(const Batch& batch) const {
  OwnShards own{.range = ranks_ != nullptr ? own_shards(*ranks_, shards_) : ShardRange{0, shards_},
                .images = shard_ranges(batch.images.shape()[0], shards_),
                .metrics = {}};
  // Other ranks' metrics are added between this rank's.
  if (ranks_ != nullptr) own.metrics = Tensor::zeros(backend_, {shards_, kStepMetricCount}, DType::kF64);
  optimizer_.begin_step(own.range.count);
  if (statistics_ == BatchNormStatistics::kLocal) {
    differentiate_in_turn(batch, own);
  } else {
    differentiate_in_step(batch, own);
  }
  if (ranks_ == nullptr) return;
  sum_gradients(*ranks_, optimizer_.arena().arena().gradients);
  gather_rows(*ranks_, own.metrics);
  backend_.add_metrics(own.metrics, state_);
}

/// One shard after another.
void TrainingSteps::differentiate_in_turn(const Batch& batch, const OwnShards& own) const {
  const ShardBuffers buffers(network_, shard_values_.at(batch.images.shape()[0]));
  for (std::int64_t i = own.range.first; i < own.range.first + own.range.count; ++i) {
    if (own.images[static_cast<std::size_t>(i)].count > 0) {
      const ShardScope scope(i);
      buffers.begin_shard();
      differentiate_shard(batch, own, i);
      buffers.end_shard(i);
    }
    optimizer_.add_shard();
  }
  if (ranks_ != nullptr) gather_rows(*ranks_, buffers.rows());
  std::vector<bool> has_images;
  for (const ShardRange& range : own.images) has_images.push_back(range.count > 0);
  buffers.end_step(has_images);
}

/// All shards side by side.
void TrainingSteps::differentiate_in_step(const Batch& batch, const OwnShards& own) const {
  std::vector<std::int64_t> counts;
  for (const ShardRange& range : own.images) counts.push_back(range.count);
  ShardsInStep shards(optimizer_.arena(), shard_values_.at(batch.images.shape()[0]), counts, own.range, ranks_);
  shards.run([&](std::int64_t shard) { differentiate_shard(batch, own, shard); });
  for (std::int64_t i = own.range.first; i < own.range.first + own.range.count; ++i)
    optimizer_.add_shard(shards.gradient_of(i));
}

/// A shard without images is computed with the batch's first one; its metrics do not count.
void TrainingSteps::differentiate_shard(const Batch& batch, const OwnShards& own, std::int64_t shard) const {
  const Shape& shape = batch.images.shape();
  const auto [first, count] = own.images[static_cast<std::size_t>(shard)];
  StepState state = state_;
  if (ranks_ != nullptr) state.metrics = own.metrics.view({kStepMetricCount}, shard * kStepMetricCount);
  if (count == 0) state.metrics = Tensor::zeros(backend_, {kStepMetricCount}, DType::kF64);
  const ShardRange range = count > 0 ? ShardRange{first, count} : ShardRange{0, 1};
  differentiate(
      {batch.images.view({range.count, shape[1], shape[2], shape[3]}, range.first * shape[1] * shape[2] * shape[3]),
       batch.labels.view({range.count}, range.first)},
      shape[0], state);
}

/// Of each shard the images, or with local batch norms the part of a step's images.
Tensor TrainingSteps::shard_values(std::int64_t count) const {
  const bool is_local = statistics_ == BatchNormStatistics::kLocal;
  const double divisor = is_local ? static_cast<double>(count) : 1;
  std::vector<float> values;
  for (const ShardRange& range : shard_ranges(count, shards_))
    values.push_back(static_cast<float>(static_cast<double>(range.count) / divisor));
  return Tensor::from_host(backend_, {shards_}, values);
}

/// Memory in bytes that a step of `count` images needs beyond what is in use without it.
std::int64_t TrainingSteps::step_memory(std::int64_t count) {
  const std::unique_ptr<Recording> step = recorded_step(count);
  backend_.release_unused_memory();
  step->replay();
  const MemoryUse use = backend_.memory_use();
  return static_cast<std::int64_t>(use.held - use.in_use);
}

/// Approximate number of images per step that the memory allows, or 0. A step's memory is a constant plus a multiple of
/// its images, if each shard has as many; two small steps determine both. They change weights and statistics, so the
/// run cannot continue.
std::int64_t TrainingSteps::largest_batch() {
  steps_.clear();
  const std::int64_t few = shards_ * std::clamp<std::int64_t>(batch_size_ / shards_ / 16, 1, 8), more = 2 * few;
  if (few >= batch_size_) return 0;
  try {
    const std::int64_t of_few = step_memory(few);
    if (more >= batch_size_) return few;
    const std::int64_t of_more = step_memory(more);
    const double an_image = static_cast<double>(of_more - of_few) / static_cast<double>(more - few);
    const double constant = static_cast<double>(of_few) - an_image * static_cast<double>(few);
    backend_.release_unused_memory();
    const MemoryUse use = backend_.memory_use();
    const double available = static_cast<double>(use.held - use.in_use + use.free);
    constexpr double kUsable = 0.95;  // the rest: a graph's own memory, and an epoch's last, smaller step
    const auto images = static_cast<std::int64_t>((kUsable * available - constant) / an_image);
    const std::int64_t unit = std::max<std::int64_t>(8, shards_);
    return std::clamp(images > unit ? images / unit * unit : images, more, batch_size_ - 1);
  } catch (const OutOfMemory&) {
    return 0;
  }
}

void TrainingSteps::poll() {
  polls_.push_back({backend_.start_read(state_.counters), backend_.start_read(state_.metrics)});
}

std::optional<StepReport> TrainingSteps::next_report(bool wait) {
  if (polls_.empty()) return std::nullopt;
  const Poll& next = polls_.front();
  if (!wait && !(next.counters->ready() && next.metrics->ready())) return std::nullopt;
  const std::span<const std::byte> counters = next.counters->bytes(), metrics = next.metrics->bytes();
  const StepReport report{element<std::int64_t>(counters, kPosition), element<double>(metrics, kLossSum),
                          element<double>(metrics, kCorrect), element<std::int64_t>(counters, kFirstBadStep)};
  polls_.pop_front();
  return report;
}

}  // namespace gradamp
