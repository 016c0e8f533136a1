// SPDX-License-Identifier: MIT
// Backend: the list of operations that a device supplies.
//
// The differentiable functions in core/operations.h and the optimizer in optim/ validate shapes and types once and
// allocate the results; a backend does not check again. Every operation is asynchronous with the host unless it says
// otherwise, gives the same bits every time, and never changes its inputs. Images are (N, H, W, C), filters
// (K, R, S, C). Activations and their gradients have the backend's activation type. All else is f32 unless noted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "gradamp/core/amplification.h"
#include "gradamp/core/caching_allocator.h"
#include "gradamp/core/convolution_method.h"
#include "gradamp/core/device.h"
#include "gradamp/core/layer_table.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/core/step_state.h"
#include "gradamp/core/tensor.h"
#include "gradamp/core/tensor_exchange.h"
#include "gradamp/core/unary_functions.h"

namespace gradamp {

/// Moments of a convolution's output, computed with it for the batch norm behind it: for every group of `rows` pixels
/// and every channel the mean and the sum of squared deviations from it. The backend chooses which pixels are a group;
/// only the last group may have fewer. The groups are combined by T. F. Chan,
/// G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
struct ChannelMoments {
  Tensor values;          // f32 (groups, 2, C); undefined: not computed
  std::int64_t rows = 0;  // pixels per group
};

/// A tensor, or one that stands for its batch norm, which has not been applied: [relu]((tensor - mean) * scale + beta),
/// computed in f32 and rounded to the tensor's type.
struct NormalizedTensor {
  Tensor tensor;
  Tensor affine;  // f32 (3, C): mean, scale and beta of each channel; undefined: the tensor itself
  bool relu = false;

  NormalizedTensor() = default;
  NormalizedTensor(Tensor itself) : tensor(std::move(itself)) {}
  NormalizedTensor(Tensor x, Tensor affine_of_channels, bool with_relu)
      : tensor(std::move(x)), affine(std::move(affine_of_channels)), relu(with_relu) {}
};

/// The tensors of a convolution's forward: x (N, H, W, C), weight (K, R, S, C / groups) in x's type.
struct Conv2dForward {
  NormalizedTensor x;
  Tensor weight;
  Tensor bias;             // f32 (K), or undefined
  Tensor y;                // out, (N, P, Q, K)
  ChannelMoments moments;  // out, of y; undefined if not needed
};

/// The tensors of a batch norm's forward in training; all but x, residual and y have C elements.
struct BatchNormForward {
  Tensor x;                // (..., C)
  ChannelMoments moments;  // of x, if its convolution computed them
  Tensor residual;         // like x, or undefined: added before the ReLU
  Tensor gamma, beta;
  Tensor running_mean;  // updated, unless undefined
  Tensor running_var;   // updated, with the unbiased variance, unless undefined
  Tensor y;             // out, or undefined: then `affine` is not
  Tensor mean;          // out, of the batch
  Tensor inverse_std;   // out, 1 / sqrt(biased variance + epsilon)
  Tensor affine;        // out, what a NormalizedTensor has in place of y
  /// If x is a shard of a batch: the mean and the sum of squared deviations over the batch, f32 (2, C), and its rows.
  Tensor batch_moments = {};  // undefined: x is the batch
  std::int64_t batch_rows = 0;
};

/// The tensors of a batch norm's backward.
struct BatchNormBackward {
  Tensor grad_y;
  Tensor x, gamma, beta, mean, inverse_std;
  Tensor y;              // needed for relu together with a residual, else undefined
  Tensor grad_x;         // out
  Tensor grad_gamma;     // out, or undefined if not needed
  Tensor grad_beta;      // out, or undefined if not needed
  Tensor grad_residual;  // out, or undefined if not needed
  /// f32 (2, C): the sums over the rows of g and of g (x - mean), where g is grad_y where the ReLU passed it, else 0.
  /// Undefined: not computed yet.
  Tensor sums;
  /// Whether grad_y is g already, because the operation that computed grad_y has computed the sums, too.
  bool is_masked = false;
  /// If x is a shard of a batch and the sums are of the whole batch: its rows. Then grad_residual, where defined, has g
  /// already, and grad_gamma and grad_beta are undefined.
  std::int64_t batch_rows = 0;
};

/// A batch norm whose backward is still to come. Its outputs are undefined.
struct PendingBatchNorm {
  BatchNormBackward tensors;
  BatchNormParams params;
};

/// The tensors of a convolution's backward to its input.
struct Conv2dBackwardInput {
  Tensor grad_y, weight;
  Tensor grad_x;     // out
  bool add = false;  // grad_x += the input's gradient, which is rounded to the type of grad_x first
  /// The batch norm whose result is the input, if grad_x becomes the whole gradient of that result; else null. A
  /// backend may also do a part of its backward: write g into grad_x, and set tensors.sums and is_masked (see
  /// BatchNormBackward).
  PendingBatchNorm* batch_norm = nullptr;
};

/// The flat arena: f32 tensors of equal length.
struct Arena {
  Tensor weights, gradients, momentum;
  /// AdamW's second moments, while `momentum` has the first ones; undefined for SGD.
  Tensor second_moments;
  /// What multiplies the weight decay of each group of kDecayGroup weights, f32; undefined: 1 everywhere.
  Tensor decay_scales;
  /// A copy of the weights in bf16, which the optimizer maintains; undefined if activations are f32.
  Tensor weights_bf16;
  /// Signed and absolute sums, by weight (as long as the arena) or by neuron; undefined until statistics are enabled.
  Tensor signed_sums, absolute_sums;
  LayerTable layers;
};

/// Recorded work that can be replayed: each replay runs the same operations on the same memory.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

/// An asynchronous copy from the device to the host. It has the contents at the time when the read was issued.
class PendingRead {
 public:
  virtual ~PendingRead() = default;
  /// Whether the copy has completed; never waits.
  virtual bool ready() = 0;
  /// Waits for the copy.
  virtual std::span<const std::byte> bytes() = 0;
};

/// Threads: one thread at a time uses a Backend, and with it all its tensors, recordings and reads. Another thread may
/// continue if the two are ordered, by a mutex for example. Tensor handles may be copied and destroyed in any thread.
/// Two backends of the device cpu may be used by two threads at once. Those of the device emulated share one emulator:
/// one thread at a time uses any of them. The same holds for the device cuda, where more is not tested.
class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual Device device() const = 0;
  /// One line for the user: the device, its libraries and threads.
  virtual std::string description() const = 0;
  /// The algorithm for convolutions that a run stores, so that it is resumed with the same bits: kAuto if the device
  /// and the shapes determine it.
  virtual ConvolutionMethod convolution_method() const { return ConvolutionMethod::kAuto; }

  /// Call it in a thread other than the one that made the backend before that thread uses it.
  virtual void enter_thread() {}

  /// For your own kernels: the stream of all work of this backend, a cudaStream_t of the device cuda or emulated. Work
  /// that you put into it runs in order with the backend's operations and is recorded with them. Null on the CPU.
  virtual void* native_stream() const { return nullptr; }

  // Memory. Allocations are aligned to at least 64 bytes and come from a cache; OutOfMemory if there is none left.
  virtual std::shared_ptr<void> allocate(std::size_t bytes) = 0;
  virtual void copy_to_device(void* destination, const void* source, std::size_t bytes) = 0;
  /// Waits for the device.
  virtual void copy_to_host(void* destination, const void* source, std::size_t bytes) = 0;
  virtual void fill_zero(void* destination, std::size_t bytes) = 0;
  virtual void synchronize() = 0;
  virtual MemoryUse memory_use() const = 0;
  /// Returns cached memory to the system. Recordings that have been replayed keep theirs.
  virtual void release_unused_memory() = 0;

  /// Begins to copy `source` to the host after the work issued so far; does not wait.
  virtual std::unique_ptr<PendingRead> start_read(const Tensor& source) = 0;
  /// Records `work`, which each replay runs. It must issue the same operations on the same tensors each time. It must
  /// neither copy between host and device nor wait. A device may record the operations once and then replay them
  /// without calling `work`. Memory that it allocates and releases is overwritten by the next replay of any recording.
  virtual std::unique_ptr<Recording> record(std::function<void()> work) = 0;

  /// Connects this backend with those of the other ranks, all of which call it; outside of a recording. The result
  /// refers to `ranks` and must not outlive it or the backend. Error if the device has nothing that connects it.
  virtual std::unique_ptr<TensorExchange> connect(Communicator& ranks) {
    (void)ranks;
    fail("{} cannot exchange tensors with other ranks", to_string(device()));
  }

  /// The type of activations: f32 or bf16.
  virtual DType activation_dtype() const { return DType::kF32; }

  /// Sets every element of an f32 tensor.
  virtual void fill(const Tensor& tensor, float value) = 0;
  /// From f32 or bf16 to f32 or bf16, rounded to nearest, ties to even.
  virtual void cast(const Tensor& x, const Tensor& y) = 0;

  // Convolution.
  /// Whether convolutions apply a batch norm as they read their input. Only then are there a NormalizedTensor with a
  /// batch norm, and a BatchNormForward without y.
  virtual bool normalizes_inputs() const { return false; }
  /// y = what x stands for.
  virtual void apply_batch_norm(const NormalizedTensor& x, const Tensor& y) {
    (void)x, (void)y;
    fail("{} does not postpone batch norms", to_string(device()));
  }
  virtual void conv2d_forward(const Conv2dForward& tensors, const Conv2dParams& params) = 0;
  /// Memory for the moments of y that conv2d_forward computes with these tensors; undefined if it computes none.
  virtual ChannelMoments make_moments(const Conv2dForward& tensors, const Conv2dParams& params) {
    (void)tensors, (void)params;
    return {};
  }
  virtual void conv2d_backward_input(const Conv2dBackwardInput& tensors, const Conv2dParams& params) = 0;
  virtual void conv2d_backward_filter(const NormalizedTensor& x, const Tensor& grad_y, const Conv2dParams& params,
                                      const Tensor& grad_weight) = 0;

  // Batch norm + optional residual + optional ReLU: y = [relu](gamma (x - mean) / sqrt(var + epsilon) + beta [+
  // residual]).
  virtual void batch_norm_forward_training(const BatchNormForward& tensors, const BatchNormParams& params) = 0;
  /// With the running statistics; `mean` and `inverse_std` are not written.
  virtual void batch_norm_forward_evaluation(const BatchNormForward& tensors, const BatchNormParams& params) = 0;
  virtual void batch_norm_backward(const BatchNormBackward& tensors, const BatchNormParams& params) = 0;
  // For batch norms over a batch of which each call gets one shard (ShardGroup in core/shard.h).
  /// f32 (2, C): the mean and the sum of squared deviations of x (..., C). `moments`: of x, if its convolution computed
  /// them.
  virtual Tensor batch_norm_moments(const Tensor& x, const ChannelMoments& moments) = 0;
  /// Computes tensors.sums, and g into grad_residual unless that is undefined. Other outputs are not written.
  virtual void batch_norm_sums(const BatchNormBackward& tensors, const BatchNormParams& params) = 0;
  /// Merges the pairs of vectors of all shards, f32 (shards, 2, C), into that of the batch, f32 (2, C). `images`, f32
  /// (shards): the number of images of each shard; where it is 0, the pair is not read. An image has `pixels` rows.
  virtual void merge_pairs(BatchNormPair kind, const Tensor& of_shards, const Tensor& images, std::int64_t pixels,
                           const Tensor& merged) = 0;

  virtual void relu_forward(const Tensor& x, const Tensor& y) = 0;
  virtual void relu_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) = 0;
  /// sum = a + b, elementwise; `sum` may be `a`.
  virtual void add(const Tensor& a, const Tensor& b, const Tensor& sum) = 0;
  /// product = a * b, elementwise.
  virtual void mul(const Tensor& a, const Tensor& b, const Tensor& product) = 0;
  /// y = f(x), elementwise. Computed in f32.
  virtual void unary_forward(UnaryFunction function, const Tensor& x, const Tensor& y) = 0;
  /// grad_x = f'(x) grad_y. It reads x because in bf16 y would have too few digits for the derivative.
  virtual void unary_backward(UnaryFunction function, const Tensor& grad_y, const Tensor& x, const Tensor& grad_x) = 0;
  /// y = scale[index] * x; `scale` is f32 on the device.
  virtual void scale(const Tensor& x, const Tensor& scale, std::int64_t index, const Tensor& y) = 0;

  /// Over the last dimension of x (..., C): y = e^x / (sum of e^x).
  virtual void softmax_forward(const Tensor& x, const Tensor& y) = 0;
  virtual void softmax_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) = 0;

  /// to[..., to_channel + c] = from[..., from_channel + c] for 0 <= c < channels, in tensors (..., C) and (..., C') of
  /// one type; other elements of `to` stay. For concatenation, forward and backward.
  virtual void copy_channels(const Tensor& from, std::int64_t from_channel, const Tensor& to, std::int64_t to_channel,
                             std::int64_t channels) = 0;

  // Pooling over square windows. `argmax` is i32 like y: the place h * W + w of the maximum, the first where several.
  virtual void max_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                                  const Tensor& argmax) = 0;
  virtual void max_pool2d_backward(const Tensor& grad_y, const Tensor& argmax, const Pool2dParams& params,
                                   const Tensor& grad_x) = 0;
  virtual void avg_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) = 0;
  virtual void avg_pool2d_backward(const Tensor& grad_y, const Pool2dParams& params, const Tensor& grad_x) = 0;
  /// (N, H, W, C) to (N, C).
  virtual void global_avg_pool_forward(const Tensor& x, const Tensor& y) = 0;
  virtual void global_avg_pool_backward(const Tensor& grad_y, const Tensor& grad_x) = 0;
  /// Every second pixel, with zero channels on both sides: (N, H, W, C) to (N, ceil(H/2), ceil(W/2), C + 2 pad). The
  /// parameterless shortcut of K. He et al., "Deep residual learning", 2016, section 4.2 (option A).
  virtual void shortcut_forward(const Tensor& x, const Tensor& y) = 0;
  virtual void shortcut_backward(const Tensor& grad_y, const Tensor& grad_x) = 0;

  // Linear, always in f32: y (N, K) = x (N, C) weight^T + bias, weight (K, C), bias (K) or undefined.
  virtual void linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) = 0;
  virtual void linear_backward_input(const Tensor& grad_y, const Tensor& weight, const Tensor& grad_x) = 0;
  virtual void linear_backward_weight(const Tensor& x, const Tensor& grad_y, const Tensor& grad_weight) = 0;
  /// grad_bias (K) = sum of grad_y (..., K) over all but the last dimension; for linear and convolution.
  virtual void bias_backward(const Tensor& grad_y, const Tensor& grad_bias) = 0;

  virtual void dropout_forward(const Tensor& x, const DropoutParams& params, const StepState& state,
                               const Tensor& y) = 0;
  /// Draws the mask of the same step again.
  virtual void dropout_backward(const Tensor& grad_y, const DropoutParams& params, const StepState& state,
                                const Tensor& grad_x) = 0;

  /// Mean loss (a scalar) over f32 logits (N, K) with labels i32 (N), and its gradient. Adds to state.metrics. Marks
  /// state.counters[kFirstBadStep] if the loss is not finite.
  virtual void softmax_cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyParams& params,
                                     const StepState& state, const Tensor& loss, const Tensor& grad_logits) = 0;

  /// Images order[position ...] of `images` u8 or f32 (M, H, W, C), cropped, flipped, normalized and cut out into x
  /// (N, H, W, C), and their labels into batch_labels i32 (N). Does not move the position.
  virtual void gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, const StepState& state,
                            const GatherParams& params, const Tensor& x, const Tensor& batch_labels) = 0;
  /// Advances state.counters by a step of `images` images.
  virtual void advance_step(const StepState& state, std::int64_t images) = 0;

  /// Adds each row of `rows`, f64 (rows, kStepMetricCount), to state.metrics, in their order. Marks
  /// state.counters[kFirstBadStep] if a row's loss is not finite.
  virtual void add_metrics(const Tensor& rows, const StepState& state) = 0;

  /// state.learning_rate = rates[state.counters[kStep] mod count], f32 (count).
  virtual void set_learning_rate(const Tensor& rates, const StepState& state) = 0;

  // The optimizer, over the whole arena.
  /// v = momentum v + (f g + weight_decay w); w -= lr v (Nesterov: w -= lr (f g + weight_decay w + momentum v)) with
  /// the layer's factor f = factors[layer]. With `accumulate`, sums += g and |g| first ([IGA] 3.1-3.5). If a gradient
  /// is not finite, marks state.counters[kFirstBadStep] and changes nothing else. Once the mark is set, no step changes
  /// anything.
  virtual void sgd_step(const Arena& arena, const Tensor& factors, const StepState& state, const SgdParams& params) = 0;
  /// AdamW, which multiplies the layer's update by its factor, but neither its decay nor its moments, with g = scale *
  /// gradient and t = state.counters[kStep] + 1:
  ///   m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
  ///   w -= lr (f (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay w).
  /// Sums and gradients that are not finite: as sgd_step; the sums are of the gradient itself. `scale`: f32 (1), or
  /// undefined: 1. arena.momentum has m, arena.second_moments v.
  virtual void adamw_step(const Arena& arena, const Tensor& factors, const Tensor& scale, const StepState& state,
                          const AdamWParams& params) = 0;
  /// scale, f32 (1), = min(1, max_norm / (norm of all gradients + kClipEpsilon)), or 1 if that is no number. For
  /// sgd_step, the factors are multiplied by it, so that the sums are of the gradient itself.
  virtual void clip_scale(const Tensor& gradients, double max_norm, const Tensor& scale) = 0;
  /// Adds the gradients of a step that the optimizer has taken to the sums of `arena`, a second pair: sums += g and
  /// |g|. Changes nothing once state.counters[kFirstBadStep] is marked. The same bits as sgd_step and adamw_step with
  /// `accumulate`.
  virtual void accumulate_sums(const Arena& arena, Granularity granularity, const StepState& state) = 0;
  /// G, G' and their normalized values of every layer ([IGA] eq. 4, 6, 7, 9) from the sums; f64 (kMeasureCount,
  /// layers). Normalized values are 0 if the standard deviation over the layers is at most 1e-12 of the largest value.
  virtual void measure_layers(const Arena& arena, Granularity granularity, const Tensor& measures) = 0;
  /// factors[l] = params.factor if layer l of `measures` is selected ([IGA] 3.6), else 1.
  virtual void select_layers(const Tensor& measures, const SelectionParams& params, const Tensor& factors) = 0;
  /// Draws params.count of `candidates`, i32 indices in `factors`, and sets their factors to params.factor, and those
  /// of the other candidates to 1 ([GA]).
  virtual void select_random_layers(const Tensor& candidates, const RandomSelectionParams& params,
                                    const Tensor& factors) = 0;

 protected:
  /// conv2d_backward_input with `add`, by one without and an addition.
  void add_backward_input(const Conv2dBackwardInput& tensors, const Conv2dParams& params) {
    const Tensor own = Tensor::empty(*this, tensors.grad_x.shape(), tensors.grad_x.dtype());
    conv2d_backward_input({tensors.grad_y, tensors.weight, own}, params);
    add(tensors.grad_x, own, tensors.grad_x);
  }
};

}  // namespace gradamp
