// SPDX-License-Identifier: MIT
// Backend: the one list of operations that a device supplies.
//
// The differentiable functions in core/operations.h and the optimizer in optim/ validate shapes and types once and
// allocate the results; a backend does not check again. Every operation is asynchronous with the host unless it says
// otherwise, gives the same bits every time, and never changes its inputs. Images are (N, H, W, C), filters
// (K, R, S, C); all are f32 unless noted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/tensor.h"

namespace gradamp {

/// Stride and zero padding, in pixels, the same in both directions.
struct Conv2dParams {
  int stride = 1;
  int padding = 0;
};

/// A square window; `padding` counts as -infinity for the maximum and as zeros, which are counted, for the average.
struct Pool2dParams {
  int kernel = 2;
  int stride = 2;
  int padding = 0;
};

struct BatchNormParams {
  float epsilon = 1e-5f;
  /// Weight of the new batch in the running statistics.
  float momentum = 0.1f;
  /// Ends with max(0, ·).
  bool relu = false;
};

/// The tensors of a batch norm's forward in training; all but x, residual and y have C elements.
struct BatchNormForward {
  Tensor x;         // (..., C)
  Tensor residual;  // like x, or undefined: added before the ReLU
  Tensor gamma, beta;
  Tensor running_mean;  // updated
  Tensor running_var;   // updated, with the unbiased variance
  Tensor y;             // out
  Tensor mean;          // out, of the batch
  Tensor inverse_std;   // out, 1 / sqrt(biased variance + epsilon)
};

/// The tensors of a batch norm's backward.
struct BatchNormBackward {
  Tensor grad_y;
  Tensor x, gamma, beta, mean, inverse_std;
  Tensor y;              // needed for relu together with a residual, else undefined
  Tensor grad_x;         // out
  Tensor grad_gamma;     // out
  Tensor grad_beta;      // out
  Tensor grad_residual;  // out, or undefined where nothing is wanted
};

/// Places in StepState::counters.
enum StepCounter : int {
  kSeed,          // of every random number of the run
  kEpoch,         // counted from 1
  kStep,          // steps done since the run began
  kPosition,      // images of this epoch done
  kFirstBadStep,  // 1 + the first step whose loss or gradient was not finite; 0: none
  kStepCounterCount,
};

/// Places in StepState::metrics.
enum StepMetric : int {
  kLossSum,  // sum over the images of this epoch
  kCorrect,  // images whose largest logit was their label's
  kStepMetricCount,
};

/// What a step reads and writes of the run, in device memory, so that a step's launches are the same every time.
struct StepState {
  Tensor counters;       // i64 (kStepCounterCount)
  Tensor metrics;        // f64 (kStepMetricCount)
  Tensor learning_rate;  // f32 (1)
};

struct GatherParams {
  bool augment = false;
  int padding = 4;                     // of the random crop: zeros around the image, in pixels
  bool flip = true;                    // horizontally, every other image on average
  std::array<float, 3> mean{};         // in [0, 1], as a pixel / 255
  std::array<float, 3> inverse_std{};  // 1 / deviation of the same
};

struct DropoutParams {
  float probability = 0.5f;     // of a zero
  std::uint32_t substream = 0;  // the layer's position in the network
};

/// One layer's place in the arena. Ranges begin at multiples of kArenaChunk elements; what lies between a layer's
/// tensors and up to the next chunk is zero and stays zero.
struct LayerRange {
  std::int64_t begin = 0;  // elements
  std::int64_t end = 0;    // padded to whole chunks
  std::int64_t count = 0;  // n, real elements
  // The neuron view: weight rows and, where there is one, a bias element each. Offsets count from the arena's start.
  std::int64_t weight_offset = 0;
  std::int64_t row_length = 0;    // elements of a weight row
  std::int64_t bias_offset = -1;  // -1: none
  std::int64_t neurons = 0;
  std::int64_t neuron_begin = 0;  // place in the neuron sums
};

inline constexpr std::int64_t kArenaChunk = 256;

enum class Granularity { kWeight, kNeuron };

/// The flat arena: f32 tensors of one length each.
struct Arena {
  Tensor weights, gradients, momentum;
  /// Signed and absolute sums, by weight (as long as the arena) or by neuron; undefined until statistics are wanted.
  Tensor signed_sums, absolute_sums;
  std::vector<LayerRange> layers;
  std::int64_t total_neurons = 0;
};

struct SgdParams {
  float momentum = 0.9f;
  float weight_decay = 5e-4f;
  bool nesterov = false;
  /// Add this step's gradient to the sums.
  bool accumulate = false;
  Granularity granularity = Granularity::kWeight;
};

/// Places in the rows of a measures tensor, f64 (kMeasureCount, layers).
enum LayerMeasure : int { kG, kGPrime, kNormalizedG, kNormalizedGPrime, kMeasureCount };

enum class SelectionCase { kOneSided = 1, kTwoSided = 2 };

struct SelectionParams {
  LayerMeasure measure = kGPrime;  // kG or kGPrime
  SelectionCase selection_case = SelectionCase::kOneSided;
  double threshold = 1.0;
  float factor = 2.0f;
};

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual Device device() const = 0;
  /// One line for a person: the device, its libraries and threads.
  virtual std::string description() const = 0;

  // Memory. Allocations are aligned to 64 bytes at least and come from a cache; Error where there is no memory left.
  virtual std::shared_ptr<void> allocate(std::size_t bytes) = 0;
  virtual void copy_to_device(void* destination, const void* source, std::size_t bytes) = 0;
  /// Waits for the device.
  virtual void copy_to_host(void* destination, const void* source, std::size_t bytes) = 0;
  virtual void fill_zero(void* destination, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  // Convolution: y (N, P, Q, K) from x (N, H, W, C), weight (K, R, S, C) and bias (K) or an undefined tensor.
  virtual void conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dParams& params,
                              const Tensor& y) = 0;
  virtual void conv2d_backward_input(const Tensor& grad_y, const Tensor& weight, const Conv2dParams& params,
                                     const Tensor& grad_x) = 0;
  virtual void conv2d_backward_filter(const Tensor& x, const Tensor& grad_y, const Conv2dParams& params,
                                      const Tensor& grad_weight) = 0;

  // Batch norm + optional residual + optional ReLU: y = [relu](gamma (x - mean) / sqrt(var + epsilon) + beta [+
  // residual]).
  virtual void batch_norm_forward_training(const BatchNormForward& tensors, const BatchNormParams& params) = 0;
  /// With the running statistics; `mean` and `inverse_std` are not written.
  virtual void batch_norm_forward_evaluation(const BatchNormForward& tensors, const BatchNormParams& params) = 0;
  virtual void batch_norm_backward(const BatchNormBackward& tensors, const BatchNormParams& params) = 0;

  virtual void relu_forward(const Tensor& x, const Tensor& y) = 0;
  virtual void relu_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) = 0;
  /// sum = a + b, elementwise; `sum` may be `a`.
  virtual void add(const Tensor& a, const Tensor& b, const Tensor& sum) = 0;
  /// y = scale[index] * x; `scale` is f32 on the device.
  virtual void scale(const Tensor& x, const Tensor& scale, std::int64_t index, const Tensor& y) = 0;

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

  // Linear: y (N, K) = x (N, C) weight^T + bias, weight (K, C), bias (K) or undefined.
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

  /// Mean loss (a scalar) over logits (N, K) with labels i32 (N), and its gradient; adds to state.metrics and marks
  /// state.counters[kFirstBadStep] where the loss is not finite.
  virtual void softmax_cross_entropy(const Tensor& logits, const Tensor& labels, const StepState& state,
                                     const Tensor& loss, const Tensor& grad_logits) = 0;

  /// Images order[position ...] of `images` u8 (M, H, W, 3), cropped, flipped and normalised into x (N, H, W, 3), and
  /// their labels into batch_labels i32 (N). Does not move the position.
  virtual void gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, const StepState& state,
                            const GatherParams& params, const Tensor& x, const Tensor& batch_labels) = 0;
  /// Moves state.counters on by a step of `images` images.
  virtual void advance_step(const StepState& state, std::int64_t images) = 0;

  // The optimizer, over the whole arena.
  /// v = momentum v + (f g + weight_decay w); w -= lr v (Nesterov: w -= lr (f g + weight_decay w + momentum v)) with
  /// the layer's factor f = factors[layer]; with `accumulate`, sums += g and |g| first ([IGA] 3.1-3.5). Where a
  /// gradient is not finite nothing at all is changed and state.counters[kFirstBadStep] is marked; once it is marked,
  /// nothing is changed any more.
  virtual void sgd_step(const Arena& arena, const Tensor& factors, const StepState& state, const SgdParams& params) = 0;
  /// G, G' and their normalised values of every layer ([IGA] eq. 4, 6, 7, 9) from the sums; f64 (kMeasureCount,
  /// layers). Normalised values are 0 where the deviation over the layers is below 1e-12 of the largest value.
  virtual void measure_layers(const Arena& arena, Granularity granularity, const Tensor& measures) = 0;
  /// factors[l] = params.factor where layer l of `measures` is selected ([IGA] 3.6), else 1.
  virtual void select_layers(const Tensor& measures, const SelectionParams& params, const Tensor& factors) = 0;
};

}  // namespace gradamp
