// SPDX-License-Identifier: MIT
// Evaluator: loss and accuracy of a network on a dataset.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/core/tensor_exchange.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/layers/module.h"

namespace gradamp {

/// Returns `logits`, a network's output for `images` images. Error unless there is one for each image and class.
const Variable& checked_logits(const Variable& logits, std::int64_t images, int classes);

/// Error unless the images of `data` are as large as `network` needs them (Module::min_image_size).
void check_image_size(const Module& network, const DeviceDataset& data);

/// Mean loss and accuracy of weights on a dataset.
struct Evaluation {
  double loss = 0, accuracy = 0;
  std::int64_t images = 0;
};

/// Evaluates a network on a whole dataset, repeatedly: the operations are recorded once. Threads: as for the network's
/// Backend.
class Evaluator {
 public:
  /// `network` and `data` must outlive it. Error if the images are too small for the network. If `ranks` is not null,
  /// they share the batches, and each gets the result, the same to the bit.
  Evaluator(Module& network, const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size,
            TensorExchange* ranks = nullptr);
  /// Calls `on_batch`, if it is set, after each batch with the number of images that are issued so far. Error if
  /// `on_batch` runs the evaluator again.
  Evaluation run(const std::function<void(std::int64_t images)>& on_batch = nullptr);
  /// The network's logits for every image: (images, classes), row-major.
  std::vector<float> outputs();

 private:
  void evaluate_batch(std::int64_t count) const;
  void replay_batch(std::int64_t count);
  void run_of_ranks(const std::function<void(std::int64_t images)>& on_batch);

  Module& network_;
  const DeviceDataset& data_;
  GatherParams gather_;
  std::int64_t batch_size_;
  StepState state_;
  Tensor order_;
  TensorExchange* ranks_;
  bool is_running_ = false;
  std::map<std::int64_t, std::unique_ptr<Recording>> batches_;  // by batch size: the last batch may be smaller
};

}  // namespace gradamp
