// SPDX-License-Identifier: MIT
// A backend that computes nothing and counts the bytes that each operation must move: every tensor that it reads, once,
// and every tensor that it writes, once. A kernel can move more (workspaces, a second pass). It can move less only if
// the second-level cache has what the previous operation wrote.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/core/backend.h"

namespace gradamp {

class CountingBackend final : public Backend {
 public:
  struct Operation {
    std::string name;  // of the function of Backend
    std::size_t bytes;
    std::vector<std::optional<Shape>> shapes;  // of its tensors; none for an undefined one
  };

  explicit CountingBackend(DType activations) : activations_(activations) {}

  /// Counts since the construction or the last clear().
  const std::vector<Operation>& operations() const { return operations_; }
  std::size_t bytes() const { return bytes_; }
  void clear() {
    operations_.clear();
    bytes_ = 0;
  }

  Device device() const override { return {DeviceKind::kCpu}; }
  std::string description() const override { return "counts bytes"; }

  /// Nothing reads or writes a tensor's memory, so one byte is enough.
  std::shared_ptr<void> allocate(std::size_t) override { return std::make_shared<char>(); }
  void copy_to_device(void*, const void*, std::size_t) override {}
  void copy_to_host(void* destination, const void*, std::size_t bytes) override { std::memset(destination, 0, bytes); }
  void fill_zero(void*, std::size_t bytes) override { count_bytes(__func__, bytes, {}); }
  void synchronize() override {}
  MemoryUse memory_use() const override { return {}; }
  void release_unused_memory() override {}
  std::unique_ptr<PendingRead> start_read(const Tensor&) override { fail("a CountingBackend has nothing to read"); }
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    return std::make_unique<Repetition>(std::move(work));
  }
  DType activation_dtype() const override { return activations_; }

  void fill(const Tensor& tensor, float) override { count(__func__, {tensor}); }
  void cast(const Tensor& x, const Tensor& y) override { count(__func__, {x, y}); }

  void conv2d_forward(const Conv2dForward& t, const Conv2dParams&) override {
    count(__func__, {t.x.tensor, t.weight, t.bias, t.y, t.moments.values});
  }
  /// One group of all rows, like the GPU's kernels. The moments of smaller groups, which they combine, are not counted.
  ChannelMoments make_moments(const Conv2dForward& t, const Conv2dParams&) override {
    const std::int64_t channels = t.y.shape()[3];
    return {Tensor::empty(*this, {1, 2, channels}), t.y.count() / channels};
  }
  /// With sums where the GPU's kernels compute them for batches of 128: the channels of all of these networks' batch
  /// norms are whole vectors.
  void conv2d_backward_input(const Conv2dBackwardInput& t, const Conv2dParams&) override {
    std::vector<Tensor> tensors = {t.grad_y, t.weight, t.grad_x};
    if (t.add) tensors.push_back(t.grad_x);
    if (t.batch_norm) {
      BatchNormBackward& norm = t.batch_norm->tensors;
      norm.sums = Tensor::empty(*this, {2, norm.mean.count()});
      norm.is_masked = true;
      tensors.insert(tensors.end(), {norm.x, norm.gamma, norm.beta, norm.mean, norm.inverse_std, norm.y, norm.sums});
    }
    count(t.add ? "conv2d_add_backward_input" : __func__, tensors);
  }
  void conv2d_backward_filter(const NormalizedTensor& x, const Tensor& grad_y, const Conv2dParams&,
                              const Tensor& grad_weight) override {
    count(__func__, {x.tensor, grad_y, grad_weight});
  }

  void batch_norm_forward_training(const BatchNormForward& t, const BatchNormParams&) override {
    count(__func__, {t.x, t.moments.values, t.residual, t.gamma, t.beta, t.running_mean, t.running_mean, t.running_var,
                     t.running_var, t.y, t.mean, t.inverse_std});
  }
  void batch_norm_forward_evaluation(const BatchNormForward& t, const BatchNormParams&) override {
    count(__func__, {t.x, t.residual, t.gamma, t.beta, t.running_mean, t.running_var, t.y});
  }
  void batch_norm_backward(const BatchNormBackward& t, const BatchNormParams&) override {
    const Tensor y = t.is_masked ? Tensor() : t.y;
    count(__func__, {t.grad_y, t.x, t.gamma, t.beta, t.mean, t.inverse_std, y, t.grad_x, t.grad_gamma, t.grad_beta,
                     t.grad_residual, t.sums});
  }

  Tensor batch_norm_moments(const Tensor& x, const ChannelMoments&) override {
    const Tensor pair = Tensor::empty(*this, {2, x.shape()[x.shape().rank() - 1]});
    count(__func__, {x, pair});
    return pair;
  }
  void batch_norm_sums(const BatchNormBackward& t, const BatchNormParams&) override {
    count(__func__, {t.grad_y, t.x, t.gamma, t.beta, t.mean, t.inverse_std, t.y, t.grad_residual, t.sums});
  }
  void merge_pairs(BatchNormPair, const Tensor& of_shards, const Tensor& images, std::int64_t,
                   const Tensor& merged) override {
    count(__func__, {of_shards, images, merged});
  }

  void relu_forward(const Tensor& x, const Tensor& y) override { count(__func__, {x, y}); }
  void relu_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) override {
    count(__func__, {grad_y, y, grad_x});
  }
  void add(const Tensor& a, const Tensor& b, const Tensor& sum) override { count(__func__, {a, b, sum}); }
  void mul(const Tensor& a, const Tensor& b, const Tensor& product) override { count(__func__, {a, b, product}); }
  void unary_forward(UnaryFunction, const Tensor& x, const Tensor& y) override { count(__func__, {x, y}); }
  void unary_backward(UnaryFunction, const Tensor& grad_y, const Tensor& x, const Tensor& grad_x) override {
    count(__func__, {grad_y, x, grad_x});
  }
  void scale(const Tensor& x, const Tensor&, std::int64_t, const Tensor& y) override { count(__func__, {x, y}); }

  void softmax_forward(const Tensor& x, const Tensor& y) override { count(__func__, {x, y}); }
  void softmax_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) override {
    count(__func__, {grad_y, y, grad_x});
  }
  void copy_channels(const Tensor& from, std::int64_t, const Tensor&, std::int64_t, std::int64_t channels) override {
    const std::int64_t rows = from.count() / from.shape()[from.shape().rank() - 1];
    count_bytes(__func__, 2 * static_cast<std::size_t>(rows * channels) * size_of(from.dtype()), {});
  }

  void max_pool2d_forward(const Tensor& x, const Pool2dParams&, const Tensor& y, const Tensor& argmax) override {
    count(__func__, {x, y, argmax});
  }
  void max_pool2d_backward(const Tensor& grad_y, const Tensor& argmax, const Pool2dParams&,
                           const Tensor& grad_x) override {
    count(__func__, {grad_y, argmax, grad_x});
  }
  void avg_pool2d_forward(const Tensor& x, const Pool2dParams&, const Tensor& y) override { count(__func__, {x, y}); }
  void avg_pool2d_backward(const Tensor& grad_y, const Pool2dParams&, const Tensor& grad_x) override {
    count(__func__, {grad_y, grad_x});
  }
  void global_avg_pool_forward(const Tensor& x, const Tensor& y) override { count(__func__, {x, y}); }
  void global_avg_pool_backward(const Tensor& grad_y, const Tensor& grad_x) override {
    count(__func__, {grad_y, grad_x});
  }
  void shortcut_forward(const Tensor& x, const Tensor& y) override { count(__func__, {x, y}); }
  void shortcut_backward(const Tensor& grad_y, const Tensor& grad_x) override { count(__func__, {grad_y, grad_x}); }

  void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) override {
    count(__func__, {x, weight, bias, y});
  }
  void linear_backward_input(const Tensor& grad_y, const Tensor& weight, const Tensor& grad_x) override {
    count(__func__, {grad_y, weight, grad_x});
  }
  void linear_backward_weight(const Tensor& x, const Tensor& grad_y, const Tensor& grad_weight) override {
    count(__func__, {x, grad_y, grad_weight});
  }
  void bias_backward(const Tensor& grad_y, const Tensor& grad_bias) override { count(__func__, {grad_y, grad_bias}); }

  void dropout_forward(const Tensor& x, const DropoutParams&, const StepState&, const Tensor& y) override {
    count(__func__, {x, y});
  }
  void dropout_backward(const Tensor& grad_y, const DropoutParams&, const StepState&, const Tensor& grad_x) override {
    count(__func__, {grad_y, grad_x});
  }
  void softmax_cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyParams&,
                             const StepState& state, const Tensor& loss, const Tensor& grad_logits) override {
    count(__func__, {logits, labels, state.metrics, state.metrics, loss, grad_logits});
  }
  /// Of the images, only those of the batch are read: as many elements as x has. Likewise of order and labels.
  void gather_batch(const Tensor& images, const Tensor&, const Tensor&, const StepState&, const GatherParams&,
                    const Tensor& x, const Tensor& batch_labels) override {
    count(__func__, {x, batch_labels, batch_labels, batch_labels});
    bytes_ += static_cast<std::size_t>(x.count()) * size_of(images.dtype());
  }
  void advance_step(const StepState& state, std::int64_t) override {
    count(__func__, {state.counters, state.counters});
  }
  void add_metrics(const Tensor& rows, const StepState& state) override {
    count(__func__, {rows, state.metrics, state.metrics, state.counters, state.counters});
  }
  void set_learning_rate(const Tensor&, const StepState& state) override {
    count(__func__, {state.counters, state.learning_rate, state.learning_rate});
  }

  void sgd_step(const Arena& arena, const Tensor& factors, const StepState&, const SgdParams& params) override {
    count(__func__,
          {arena.gradients, arena.weights, arena.weights, arena.momentum, arena.momentum, arena.weights_bf16, factors});
    if (!params.accumulate) return;
    for (const Tensor& sums : {arena.signed_sums, arena.absolute_sums}) bytes_ += 2 * sums.bytes();
  }
  void adamw_step(const Arena& arena, const Tensor& factors, const Tensor&, const StepState&,
                  const AdamWParams& params) override {
    count(__func__, {arena.gradients, arena.weights, arena.weights, arena.momentum, arena.momentum,
                     arena.second_moments, arena.second_moments, arena.weights_bf16, arena.decay_scales, factors});
    if (!params.accumulate) return;
    for (const Tensor& sums : {arena.signed_sums, arena.absolute_sums}) bytes_ += 2 * sums.bytes();
  }
  void clip_scale(const Tensor& gradients, double, const Tensor& scale) override {
    count(__func__, {gradients, scale});
  }
  void accumulate_sums(const Arena& arena, Granularity, const StepState&) override {
    count(__func__, {arena.gradients, arena.signed_sums, arena.signed_sums, arena.absolute_sums, arena.absolute_sums});
  }
  void measure_layers(const Arena& arena, Granularity, const Tensor& measures) override {
    count(__func__, {arena.signed_sums, arena.absolute_sums, measures});
  }
  void select_layers(const Tensor& measures, const SelectionParams&, const Tensor& factors) override {
    count(__func__, {measures, factors});
  }
  void select_random_layers(const Tensor& candidates, const RandomSelectionParams&, const Tensor& factors) override {
    count(__func__, {candidates, factors});
  }

 private:
  class Repetition final : public Recording {
   public:
    explicit Repetition(std::function<void()> work) : work_(std::move(work)) {}
    void replay() override { work_(); }

   private:
    std::function<void()> work_;
  };

  void count_bytes(const char* name, std::size_t bytes, const std::vector<Tensor>& tensors) {
    bytes_ += bytes;
    Operation& operation = operations_.emplace_back(Operation{name, bytes, {}});
    for (const Tensor& tensor : tensors)
      operation.shapes.push_back(tensor.defined() ? tensor.shape() : std::optional<Shape>());
  }
  /// Counts one operation. A tensor that is read and written is in the list twice; undefined ones are not counted.
  void count(const char* name, const std::vector<Tensor>& tensors) {
    std::size_t bytes = 0;
    for (const Tensor& tensor : tensors) bytes += tensor.defined() ? tensor.bytes() : 0;
    count_bytes(name, bytes, tensors);
  }

  DType activations_;
  std::vector<Operation> operations_;
  std::size_t bytes_ = 0;
};

}  // namespace gradamp
