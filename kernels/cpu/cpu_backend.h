// SPDX-License-Identifier: MIT
// Backend on the host's processor, one file per operation. Work and sums are divided by shapes alone and sums are
// finished in a fixed order, so the bits do not depend on the number of threads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gradamp/core/backend.h"
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/simd_kernels.h"

namespace gradamp {

class CpuBackend final : public Backend {
 public:
  /// `threads` 0: default_threads() (core/processors.h). `activations`: f32 or bf16.
  explicit CpuBackend(int threads, ConvolutionMethod convolution = ConvolutionMethod::kAuto,
                      DType activations = DType::kF32, InstructionSet set = instruction_set());

  Device device() const override { return {DeviceKind::kCpu}; }
  std::string description() const override;
  DType activation_dtype() const override { return activations_; }

  std::shared_ptr<void> allocate(std::size_t bytes) override;
  void copy_to_device(void* destination, const void* source, std::size_t bytes) override;
  void copy_to_host(void* destination, const void* source, std::size_t bytes) override;
  void fill_zero(void* destination, std::size_t bytes) override;
  void synchronize() override {}
  MemoryUse memory_use() const override { return allocator_.use(); }
  void release_unused_memory() override { allocator_.release_unused(); }

  std::unique_ptr<PendingRead> start_read(const Tensor& source) override;
  std::unique_ptr<Recording> record(std::function<void()> work) override;
  std::unique_ptr<TensorExchange> connect(Communicator& ranks) override;

  void fill(const Tensor& tensor, float value) override;
  void cast(const Tensor& x, const Tensor& y) override;

  bool normalizes_inputs() const override { return true; }
  void apply_batch_norm(const NormalizedTensor& x, const Tensor& y) override;
  ChannelMoments make_moments(const Conv2dForward& tensors, const Conv2dParams& params) override;
  void conv2d_forward(const Conv2dForward& tensors, const Conv2dParams& params) override;
  void conv2d_backward_input(const Conv2dBackwardInput& tensors, const Conv2dParams& params) override;
  void conv2d_backward_filter(const NormalizedTensor& x, const Tensor& grad_y, const Conv2dParams& params,
                              const Tensor& grad_weight) override;

  void batch_norm_forward_training(const BatchNormForward& tensors, const BatchNormParams& params) override;
  void batch_norm_forward_evaluation(const BatchNormForward& tensors, const BatchNormParams& params) override;
  void batch_norm_backward(const BatchNormBackward& tensors, const BatchNormParams& params) override;
  Tensor batch_norm_moments(const Tensor& x, const ChannelMoments& moments) override;
  void batch_norm_sums(const BatchNormBackward& tensors, const BatchNormParams& params) override;
  void merge_pairs(BatchNormPair kind, const Tensor& of_shards, const Tensor& images, std::int64_t pixels,
                   const Tensor& merged) override;

  void relu_forward(const Tensor& x, const Tensor& y) override;
  void relu_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) override;
  void add(const Tensor& a, const Tensor& b, const Tensor& sum) override;
  void mul(const Tensor& a, const Tensor& b, const Tensor& product) override;
  void unary_forward(UnaryFunction function, const Tensor& x, const Tensor& y) override;
  void unary_backward(UnaryFunction function, const Tensor& grad_y, const Tensor& x, const Tensor& grad_x) override;
  void scale(const Tensor& x, const Tensor& scale, std::int64_t index, const Tensor& y) override;

  void softmax_forward(const Tensor& x, const Tensor& y) override;
  void softmax_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) override;
  void copy_channels(const Tensor& from, std::int64_t from_channel, const Tensor& to, std::int64_t to_channel,
                     std::int64_t channels) override;

  void max_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y, const Tensor& argmax) override;
  void max_pool2d_backward(const Tensor& grad_y, const Tensor& argmax, const Pool2dParams& params,
                           const Tensor& grad_x) override;
  void avg_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) override;
  void avg_pool2d_backward(const Tensor& grad_y, const Pool2dParams& params, const Tensor& grad_x) override;
  void global_avg_pool_forward(const Tensor& x, const Tensor& y) override;
  void global_avg_pool_backward(const Tensor& grad_y, const Tensor& grad_x) override;
  void shortcut_forward(const Tensor& x, const Tensor& y) override;
  void shortcut_backward(const Tensor& grad_y, const Tensor& grad_x) override;

  void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) override;
  void linear_backward_input(const Tensor& grad_y, const Tensor& weight, const Tensor& grad_x) override;
  void linear_backward_weight(const Tensor& x, const Tensor& grad_y, const Tensor& grad_weight) override;
  void bias_backward(const Tensor& grad_y, const Tensor& grad_bias) override;

  void dropout_forward(const Tensor& x, const DropoutParams& params, const StepState& state, const Tensor& y) override;
  void dropout_backward(const Tensor& grad_y, const DropoutParams& params, const StepState& state,
                        const Tensor& grad_x) override;

  void softmax_cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyParams& params,
                             const StepState& state, const Tensor& loss, const Tensor& grad_logits) override;

  void gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, const StepState& state,
                    const GatherParams& params, const Tensor& x, const Tensor& batch_labels) override;
  void advance_step(const StepState& state, std::int64_t images) override;
  void add_metrics(const Tensor& rows, const StepState& state) override;
  void set_learning_rate(const Tensor& rates, const StepState& state) override;

  void sgd_step(const Arena& arena, const Tensor& factors, const StepState& state, const SgdParams& params) override;
  void adamw_step(const Arena& arena, const Tensor& factors, const Tensor& gradient_scale, const StepState& state,
                  const AdamWParams& params) override;
  void clip_scale(const Tensor& gradients, double max_norm, const Tensor& scale) override;
  void accumulate_sums(const Arena& arena, Granularity granularity, const StepState& state) override;
  void measure_layers(const Arena& arena, Granularity granularity, const Tensor& measures) override;
  void select_layers(const Tensor& measures, const SelectionParams& params, const Tensor& factors) override;
  void select_random_layers(const Tensor& candidates, const RandomSelectionParams& params,
                            const Tensor& factors) override;

 private:
  template <typename T>
  ConvolutionInput<T> convolution_input(const NormalizedTensor& x, const ConvolutionShape& shape, Tensor& memory);

  int threads_;
  ConvolutionMethod convolution_;
  DType activations_;
  InstructionSet instruction_set_;
  const SimdKernels& kernels_;
  CachingAllocator allocator_;
};

}  // namespace gradamp
