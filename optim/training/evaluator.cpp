// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/evaluator.h"

#include <algorithm>

#include "gradamp/core/operations.h"
#include "gradamp/optim/training/rank_exchange.h"

namespace gradamp {

const Variable& checked_logits(const Variable& logits, std::int64_t images, int classes) {
  check(logits.defined() && logits.shape() == Shape{images, classes},
        "expected logits of shape {} from the network, for {} images of {} classes, got {}",
        (Shape{images, classes}).to_string(), images, classes,
        logits.defined() ? logits.shape().to_string() : "an undefined variable");
  return logits;
}

void check_image_size(const Module& network, const DeviceDataset& data) {
  const std::int64_t least = network.min_image_size(), height = data.images.shape()[1], width = data.images.shape()[2];
  check(height >= least && width >= least,
        "expected images of at least {}x{} pixels, which this network needs, got {}x{}; use larger images or another "
        "network",
        least, least, height, width);
}

Evaluator::Evaluator(Module& network, const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size,
                     TensorExchange* ranks)
    : network_(network),
      data_(data),
      gather_(gather),
      batch_size_(batch_size),
      state_(make_step_state(data.images.backend(), 0)),
      order_(make_order(data.images.backend(), data.count, 0, 0)),
      ranks_(ranks != nullptr && ranks->size() > 1 ? ranks : nullptr) {
  check_image_size(network, data);
}

void Evaluator::evaluate_batch(std::int64_t count) const {
  const NoGrad no_grad;
  const Batch batch = gather_batch(data_.images, data_.labels, order_, count, state_, gather_);
  const Variable logits = network_.forward(Variable(batch.images), Mode::kEvaluation);
  softmax_cross_entropy(checked_logits(logits, count, data_.classes), batch.labels, state_);
  order_.backend().advance_step(state_, count);
}

void Evaluator::replay_batch(std::int64_t count) {
  std::unique_ptr<Recording>& batch = batches_[count];
  if (!batch) batch = order_.backend().record([this, count] { evaluate_batch(count); });
  try {
    batch->replay();
  } catch (const OutOfMemory& error) {
    fail("evaluating {} images at once: {}; try a smaller batch for evaluation", count, error.what());
  }
}

/// Each rank evaluates every size()-th batch. The sums are added in the order of the batches, as one process does.
void Evaluator::run_of_ranks(const std::function<void(std::int64_t images)>& on_batch) {
  const std::int64_t batches = (data_.count + batch_size_ - 1) / batch_size_, size = ranks_->size();
  Backend& backend = order_.backend();
  const Tensor rows = Tensor::zeros(backend, {size, batches, kStepMetricCount}, DType::kF64);
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const std::int64_t count = std::min(batch_size_, data_.count - batch * batch_size_);
    if (batch % size == ranks_->rank()) {
      state_.metrics.fill_zero();
      replay_batch(count);
      StepState of_batch = state_;
      of_batch.metrics = rows.view({kStepMetricCount}, (ranks_->rank() * batches + batch) * kStepMetricCount);
      backend.add_metrics(state_.metrics.view({1, kStepMetricCount}), of_batch);
      backend.synchronize();  // so that no wait is longer than a batch: other ranks could be taken to hang
    } else {
      backend.advance_step(state_, count);
    }
    if (on_batch) on_batch(batch * batch_size_ + count);
  }
  gather_rows(*ranks_, rows);
  state_.metrics.fill_zero();
  for (std::int64_t batch = 0; batch < batches; ++batch)
    backend.add_metrics(rows.view({1, kStepMetricCount}, (batch % size * batches + batch) * kStepMetricCount), state_);
}

Evaluation Evaluator::run(const std::function<void(std::int64_t images)>& on_batch) {
  check(!is_running_, "this evaluation is running; evaluate after it, for example in on_epoch");
  is_running_ = true;
  const std::unique_ptr<bool, void (*)(bool*)> end(&is_running_, [](bool* is_running) { *is_running = false; });
  state_.counters.fill_zero();
  state_.metrics.fill_zero();
  if (ranks_ != nullptr) {
    run_of_ranks(on_batch);
  } else {
    for (std::int64_t done = 0; done < data_.count; done += batch_size_) {
      const std::int64_t count = std::min(batch_size_, data_.count - done);
      replay_batch(count);
      if (on_batch) on_batch(done + count);
    }
  }
  const std::vector<double> metrics = state_.metrics.to_host<double>();
  const double images = static_cast<double>(data_.count);
  return {metrics[kLossSum] / images, metrics[kCorrect] / images, data_.count};
}

std::vector<float> Evaluator::outputs() {
  state_.counters.fill_zero();
  std::vector<float> outputs;
  const NoGrad no_grad;
  for (std::int64_t done = 0; done < data_.count; done += batch_size_) {
    const std::int64_t count = std::min(batch_size_, data_.count - done);
    const Batch batch = gather_batch(data_.images, data_.labels, order_, count, state_, gather_);
    const Variable y = network_.forward(Variable(batch.images), Mode::kEvaluation);
    const std::vector<float> values = y.value_as(DType::kF32).to_host<float>();
    outputs.insert(outputs.end(), values.begin(), values.end());
    order_.backend().advance_step(state_, count);
  }
  return outputs;
}

}  // namespace gradamp
