// SPDX-License-Identifier: MIT
// Batch norm of one range of rows, which a thread computes at once. Rows have C channels (NHWC viewed as (N H W, C)).
// Loops run over "lanes", a multiple of C with at least 64 elements, so that few channels also fill vector registers.
// T is the type of activations, float or Bf16. Arithmetic is in f32, sums are in f64.
#pragma once

#include <cstdint>

namespace gradamp {

/// The maximum number of lanes.
inline constexpr std::int64_t kMaxBatchNormLanes = 4096;

/// All counts are in elements; `count` is a multiple of the channels.
struct BatchNormRange {
  std::int64_t channels, lanes, count;
};

/// Per-channel values, repeated over the lanes: the normalized value is (x - mean) * scale + beta.
struct BatchNormLanes {
  const float *mean, *scale, *beta;
};

/// The source of the ReLU's mask in the backward.
enum class ReluMask {
  kNone,   // there is no ReLU, or the gradient is masked already
  kFromX,  // the normalized value is computed again
  kFromY,
};

/// The inputs of the backward; `y` is read with kFromY only.
template <typename T>
struct BatchNormGrad {
  ReluMask mask;
  const T *x, *grad_y, *y;
};

/// For one instruction set. `y`, `grad_x` and `grad_residual` are outputs of range.count elements.
template <typename T>
struct BatchNormKernels {
  /// The mean and the sum of squared deviations from it, per channel.
  void (*moments)(const BatchNormRange& range, const T* x, double* mean, double* deviations);
  /// y = relu(normalized x + residual). `residual` is null if there is none.
  void (*apply)(const BatchNormRange& range, const BatchNormLanes& lanes, bool relu, const T* x, const T* residual,
                T* y);
  /// Per channel, the sums of the masked gradient g and of g (x - mean). Stores g in `grad_residual` unless it is null.
  void (*reduce)(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad<T>& grad,
                 T* grad_residual, double* grad_sums, double* product_sums);
  /// grad_x = scale g + slope (x - mean) + offset; slope and offset by lane.
  void (*grad_x)(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad<T>& grad,
                 const float* slope, const float* offset, T* grad_x);
};

}  // namespace gradamp
