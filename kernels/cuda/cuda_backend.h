// SPDX-License-Identifier: MIT
// The Backend that uses this folder's kernels: on a GPU, or under the emulator on a CPU. All work goes into one stream,
// in order.
#pragma once

#include <memory>
#include <string>

#include "gradamp/core/backend.h"
#include "gradamp/core/caching_allocator.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/matrix_product.h"
#include "gradamp/kernels/cuda/nccl_exchange.h"
#include "gradamp/kernels/cuda/optimizer.h"
#include "gradamp/kernels/cuda/runtime.h"

namespace gradamp::GRADAMP_GPU {

class CudaBackend final : public Backend {
 public:
  /// Uses the current device. Error if it cannot be used.
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  void* native_stream() const override { return stream(); }
  Device device() const override;
  std::string description() const override;
  ConvolutionMethod convolution_method() const override;

  std::shared_ptr<void> allocate(std::size_t bytes) override { return allocator_.allocate(bytes); }
  void copy_to_device(void* destination, const void* source, std::size_t bytes) override;
  void copy_to_host(void* destination, const void* source, std::size_t bytes) override;
  void fill_zero(void* destination, std::size_t bytes) override;
  void synchronize() override;
  MemoryUse memory_use() const override { return allocator_.use(); }
  void release_unused_memory() override;

  void enter_thread() override;
  std::unique_ptr<PendingRead> start_read(const Tensor& source) override;
  std::unique_ptr<Recording> record(std::function<void()> work) override;
  std::unique_ptr<TensorExchange> connect(Communicator& ranks) override;

  Precision precision() const { return precision_; }
  DType activation_dtype() const override { return precision_ == Precision::kBF16 ? DType::kBF16 : DType::kF32; }

  void fill(const Tensor& tensor, float value) override;
  void cast(const Tensor& x, const Tensor& y) override;

  void conv2d_forward(const Conv2dForward& tensors, const Conv2dParams& params) override;
  ChannelMoments make_moments(const Conv2dForward& tensors, const Conv2dParams& params) override;
  void conv2d_backward_input(const Conv2dBackwardInput& tensors, const Conv2dParams& params) override;
  void conv2d_backward_filter(const NormalizedTensor& input, const Tensor& grad_y, const Conv2dParams& params,
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
  class GraphRecording;
  class StreamRead;

  cudaStream_t stream() const { return stream_.get(); }
  bool is_capturing() const;
  /// Waits until `query` no longer returns cudaErrorNotReady. With other ranks, Error if that does not happen in time.
  template <typename Query, typename Wait>
  void wait(const char* call, Query query, Wait wait_alone) const;
  /// Whether a convolution is computed by plain loops: the tiled kernels have neither dilation nor groups.
  bool uses_naive(const Conv2dParams& params) const {
    return method_ == ConvolutionMethod::kNaive || params.dilation != 1 || params.groups != 1;
  }
  bool uses_hopper(Precision precision) const {
    return method_ == ConvolutionMethod::kHopper && precision == Precision::kBF16;
  }
  /// Marks the step if a gradient is not finite. By neuron: returns the neurons' gradients, otherwise null.
  std::shared_ptr<float> check_gradients(const ArenaPointers& arena, std::int64_t* counters, bool by_neuron);
  ChannelMoments memory_of_moments(const Tensor& y);
  /// Workspace of an operation. It may be reused as soon as the operation is in the stream.
  template <typename T>
  std::shared_ptr<T> workspace(std::size_t count) {
    return std::static_pointer_cast<T>(allocate(count * sizeof(T)));
  }
  /// Loads cuBLAS at the first call. Error if that call is captured: loading allocates memory and waits for the device.
  MatrixProduct& matrix_product();
  unsigned* completion_counters() const { return static_cast<unsigned*>(completion_counters_.get()); }

  Precision precision_;
  ConvolutionMethod method_;  // kNaive, kMma or kHopper
  std::string warning_;       // of description(); empty if there is none
  int device_index_;
  Stream stream_;
  CachingAllocator allocator_, host_allocator_;
  /// Memory of all recordings. They run one after another, and no recording reads another's memory.
  CachingAllocator::Reservation recorded_memory_;
  int graphs_ = 0;  // live graphs that use it
  std::shared_ptr<void> completion_counters_;
  std::unique_ptr<MatrixProduct> matrix_product_;  // null before the first large product
  std::weak_ptr<NcclRanks> ranks_;                 // empty: this process is alone
};

}  // namespace gradamp::GRADAMP_GPU
