// SPDX-License-Identifier: MIT
// TrainingSteps: the steps of an epoch on the device, recorded once and replayed, and their reports to the host, which
// does not wait for them.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gradamp/core/operations.h"
#include "gradamp/core/shard.h"
#include "gradamp/core/tensor_exchange.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/optim/optimizer.h"

namespace gradamp {

/// The device's progress at a poll.
struct StepReport {
  std::int64_t position = 0;         // images of the epoch that are done
  double loss_sum = 0, correct = 0;  // over these images
  std::int64_t first_bad_step = 0;   // 1 + the step of the run whose loss or gradient was not finite; 0: none
};

class TrainingSteps {
 public:
  /// Steps of up to `batch_size` images of `data`, prepared by the rules of `gather`. All arguments must outlive it;
  /// `state` is the run's, and its seed draws the order. Error unless batch_size >= 1.
  TrainingSteps(const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size, const StepState& state,
                Module& network, Optimizer& optimizer, const CrossEntropyParams& loss = {});
  /// The same, with each batch cut into `shards` (core/shard.h), which `ranks`, if it is not null, compute together.
  /// Error if check_shards, check_ranks or check_synchronized_buffers finds one.
  TrainingSteps(const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size, const StepState& state,
                Module& network, Optimizer& optimizer, const CrossEntropyParams& loss, std::int64_t shards,
                TensorExchange* ranks, BatchNormStatistics statistics = BatchNormStatistics::kLocal);

  /// Call it before the first step of an epoch, or the first one after a resumption: draws the epoch's order, and drops
  /// reports of earlier steps that were not taken.
  void begin_epoch(int epoch);
  /// Issues a step of `count` images; does not wait. If the device has too little memory, OutOfMemory with a batch size
  /// that would fit.
  void run(std::int64_t count);

  /// Begins to read the counters and metrics after the steps issued so far; the reports arrive in this order.
  void poll();
  /// The next report if it has arrived; with `wait`, waits for it. Nothing if no report is pending.
  std::optional<StepReport> next_report(bool wait);

 private:
  /// The shards of a batch that this process computes.
  struct OwnShards {
    ShardRange range;                // of `images`
    std::vector<ShardRange> images;  // of each shard of the batch
    Tensor metrics;                  // with ranks: of each shard, f64 (shards, kStepMetricCount)
  };
  struct Poll {
    std::unique_ptr<PendingRead> counters, metrics;
  };

  void compute(std::int64_t count) const;
  void differentiate(const Batch& batch, std::int64_t divisor, const StepState& state) const;
  void differentiate_shards(const Batch& batch) const;
  void differentiate_in_turn(const Batch& batch, const OwnShards& own) const;
  void differentiate_in_step(const Batch& batch, const OwnShards& own) const;
  void differentiate_shard(const Batch& batch, const OwnShards& own, std::int64_t shard) const;
  Tensor shard_values(std::int64_t count) const;
  std::int64_t largest_batch();
  std::int64_t step_memory(std::int64_t count);
  std::unique_ptr<Recording> recorded_step(std::int64_t count);

  const DeviceDataset& data_;
  GatherParams gather_;
  std::int64_t batch_size_;
  StepState state_;
  Module& network_;
  Optimizer& optimizer_;
  CrossEntropyParams loss_;
  std::int64_t shards_ = 1;
  TensorExchange* ranks_ = nullptr;  // null: one process computes all shards
  BatchNormStatistics statistics_ = BatchNormStatistics::kLocal;
  Backend& backend_;
  Tensor order_;
  /// f32 (shards), by the number of images of a step: of each shard the images, or with local batch norms the part of
  /// the images.
  std::map<std::int64_t, Tensor> shard_values_;
  /// By the number of images of a step and its kind (Optimizer::step_kind).
  std::map<std::pair<std::int64_t, int>, std::unique_ptr<Recording>> steps_;
  std::deque<Poll> polls_;
};

}  // namespace gradamp
