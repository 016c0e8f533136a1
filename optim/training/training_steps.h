// SPDX-License-Identifier: MIT
// TrainingSteps: the steps of an epoch on the device, recorded once and replayed, and what they report to the host
// without waiting.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "gradamp/data/device_dataset.h"
#include "gradamp/optim/optimizer.h"

namespace gradamp {

/// What the device had done when it was polled.
struct StepReport {
  std::int64_t position = 0;         // images of the epoch done
  double loss_sum = 0, correct = 0;  // over these images
  std::int64_t first_bad_step = 0;   // 1 + the step of the run whose loss or gradient was not finite; 0: none
};

class TrainingSteps {
 public:
  /// Steps of up to `batch_size` of the images `data`, prepared as `gather` says. All must outlive it; `state` is the
  /// run's, its seed that of the order. Error unless 1 <= batch_size.
  TrainingSteps(const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size, const StepState& state,
                Module& network, Optimizer& optimizer);

  /// Before an epoch's first step, or the first one after a resumption: draws its order, and drops reports of the steps
  /// before that nobody took.
  void begin_epoch(int epoch);
  /// Asks the device for a step of `count` images; does not wait. OutOfMemory where its memory does not
  /// suffice, with a batch size that would fit.
  void run(std::int64_t count);

  /// Begins to read the counters and metrics after the steps issued so far; the reports arrive in this order.
  void poll();
  /// The next report, where it has arrived, or with `wait` where there is one at all.
  std::optional<StepReport> next_report(bool wait);

 private:
  struct Poll {
    std::unique_ptr<PendingRead> counters, metrics;
  };

  void compute(std::int64_t count) const;
  std::int64_t largest_batch();
  std::int64_t step_memory(std::int64_t count) const;

  const DeviceDataset& data_;
  GatherParams gather_;
  std::int64_t batch_size_;
  StepState state_;
  Module& network_;
  Optimizer& optimizer_;
  Backend& backend_;
  Tensor order_;
  /// By the images of a step and its kind (Optimizer::step_kind).
  std::map<std::pair<std::int64_t, int>, std::unique_ptr<Recording>> steps_;
  std::deque<Poll> polls_;
};

}  // namespace gradamp
