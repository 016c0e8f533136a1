// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/simd/batch_norm.h"

#include <algorithm>
#include <type_traits>

namespace gradamp::GRADAMP_SIMD {
namespace {

/// Sums per lane in double precision. Float32 sums over many rows would leave errors in the gradients' means, which
/// nearly canceling sums of later layers enlarge. The loop is bound by memory, so double costs nothing.
class LaneSums {
 public:
  explicit LaneSums(std::int64_t lanes) : lanes_(lanes) { std::fill_n(sums_, lanes, 0.0); }
  double* data() { return sums_; }
  /// Adds the lanes of each channel.
  void fold(std::int64_t channels, double* channel_sums) const {
    std::fill_n(channel_sums, channels, 0.0);
    for (std::int64_t first = 0; first < lanes_; first += channels)
      for (std::int64_t c = 0; c < channels; ++c) channel_sums[c] += sums_[first + c];
  }

 private:
  std::int64_t lanes_;
  alignas(64) double sums_[kMaxBatchNormLanes];
};

/// The normalized, scaled and shifted value before the residual. Forward and backward share this expression, so that
/// the ReLU's mask is bitwise identical in both.
[[gnu::always_inline]] inline float affine(float x, float mean, float scale, float beta) {
  return multiply_add(x - mean, scale, beta);
}

template <bool kRelu, bool kResidual, typename T>
void apply_rows(const BatchNormRange& range, const BatchNormLanes& lanes, const T* x, const T* residual, T* y) {
  const float *mean = lanes.mean, *scale = lanes.scale, *beta = lanes.beta;
  for (std::int64_t row = 0; row < range.count; row += range.lanes) {
    const std::int64_t width = std::min(range.lanes, range.count - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      float value = affine(x[row + i], mean[i], scale[i], beta[i]);
      if constexpr (kResidual) value += residual[row + i];
      if constexpr (kRelu) value = value < 0.0f ? 0.0f : value;  // a NaN stays a NaN
      y[row + i] = value;
    }
  }
}

/// The gradient of element `at` and lane `lane` after the mask.
template <ReluMask kMask, typename T>
[[gnu::always_inline]] inline float masked(const BatchNormGrad<T>& grad, const BatchNormLanes& lanes, std::int64_t at,
                                           std::int64_t lane) {
  const float g = grad.grad_y[at];
  if constexpr (kMask == ReluMask::kFromX)
    return affine(grad.x[at], lanes.mean[lane], lanes.scale[lane], lanes.beta[lane]) > 0.0f ? g : 0.0f;
  if constexpr (kMask == ReluMask::kFromY) return grad.y[at] > 0.0f ? g : 0.0f;
  return g;
}

template <ReluMask kMask, bool kWriteResidual, typename T>
void reduce_rows(const BatchNormRange& range, const BatchNormLanes lanes, const BatchNormGrad<T> grad, T* grad_residual,
                 double* grads, double* products) {
  for (std::int64_t row = 0; row < range.count; row += range.lanes) {
    const std::int64_t width = std::min(range.lanes, range.count - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      const float g = masked<kMask>(grad, lanes, row + i, i);
      if constexpr (kWriteResidual) grad_residual[row + i] = g;
      grads[i] += static_cast<double>(g);
      products[i] += static_cast<double>(g * (grad.x[row + i] - lanes.mean[i]));
    }
  }
}

template <ReluMask kMask, typename T>
void grad_x_rows(const BatchNormRange& range, const BatchNormLanes lanes, const BatchNormGrad<T> grad,
                 const float* slope, const float* offset, T* grad_x) {
  for (std::int64_t row = 0; row < range.count; row += range.lanes) {
    const std::int64_t width = std::min(range.lanes, range.count - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      const float g = masked<kMask>(grad, lanes, row + i, i);
      const float centered = multiply_add(slope[i], grad.x[row + i] - lanes.mean[i], offset[i]);
      grad_x[row + i] = multiply_add(lanes.scale[i], g, centered);
    }
  }
}

/// Calls body(std::integral_constant) with the mask.
template <typename Body>
[[gnu::always_inline]] inline void with_mask(ReluMask mask, const Body& body) {
  switch (mask) {
    case ReluMask::kNone: return body(std::integral_constant<ReluMask, ReluMask::kNone>{});
    case ReluMask::kFromX: return body(std::integral_constant<ReluMask, ReluMask::kFromX>{});
    case ReluMask::kFromY: return body(std::integral_constant<ReluMask, ReluMask::kFromY>{});
  }
}

}  // namespace

template <typename T>
void batch_norm_moments(const BatchNormRange& range, const T* x, double* mean, double* deviations) {
  const std::int64_t lanes = range.lanes, channels = range.channels;
  LaneSums values(lanes), squares(lanes);
  double* const value_sums = values.data();
  for (std::int64_t row = 0; row < range.count; row += lanes) {
    const std::int64_t width = std::min(lanes, range.count - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) value_sums[i] += static_cast<double>(x[row + i]);
  }
  values.fold(channels, mean);
  const double rows = static_cast<double>(range.count / channels);
  alignas(64) float center[kMaxBatchNormLanes];
  for (std::int64_t c = 0; c < channels; ++c) mean[c] /= rows;
  for (std::int64_t i = 0; i < lanes; ++i) center[i] = static_cast<float>(mean[i % channels]);

  double* const square_sums = squares.data();
  for (std::int64_t row = 0; row < range.count; row += lanes) {
    const std::int64_t width = std::min(lanes, range.count - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      const float d = x[row + i] - center[i];
      square_sums[i] += static_cast<double>(d * d);
    }
  }
  squares.fold(channels, deviations);
  for (std::int64_t c = 0; c < channels; ++c) {  // corrects for the center, the mean rounded to float32
    const double off = mean[c] - static_cast<double>(center[c]);
    deviations[c] = std::max(0.0, deviations[c] - rows * off * off);
  }
}

template <typename T>
void batch_norm_apply(const BatchNormRange& range, const BatchNormLanes& lanes, bool relu, const T* x,
                      const T* residual, T* y) {
  const auto rows = relu ? (residual != nullptr ? apply_rows<true, true, T> : apply_rows<true, false, T>)
                         : (residual != nullptr ? apply_rows<false, true, T> : apply_rows<false, false, T>);
  rows(range, lanes, x, residual, y);
}

template <typename T>
void batch_norm_reduce(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad<T>& grad,
                       T* grad_residual, double* grad_sums, double* product_sums) {
  LaneSums grads(range.lanes), products(range.lanes);
  with_mask(grad.mask, [&, g = grads.data(), p = products.data()](auto mask) {
    if (grad_residual != nullptr) {
      reduce_rows<mask(), true>(range, lanes, grad, grad_residual, g, p);
    } else {
      reduce_rows<mask(), false>(range, lanes, grad, grad_residual, g, p);
    }
  });
  grads.fold(range.channels, grad_sums);
  products.fold(range.channels, product_sums);
}

template <typename T>
void batch_norm_grad_x(const BatchNormRange& range, const BatchNormLanes& lanes, const BatchNormGrad<T>& grad,
                       const float* slope, const float* offset, T* grad_x) {
  with_mask(grad.mask, [&](auto mask) { grad_x_rows<mask()>(range, lanes, grad, slope, offset, grad_x); });
}

template void batch_norm_moments(const BatchNormRange&, const float*, double*, double*);
template void batch_norm_apply(const BatchNormRange&, const BatchNormLanes&, bool, const float*, const float*, float*);
template void batch_norm_reduce(const BatchNormRange&, const BatchNormLanes&, const BatchNormGrad<float>&, float*,
                                double*, double*);
template void batch_norm_grad_x(const BatchNormRange&, const BatchNormLanes&, const BatchNormGrad<float>&, const float*,
                                const float*, float*);
template void batch_norm_moments(const BatchNormRange&, const Bf16*, double*, double*);
template void batch_norm_apply(const BatchNormRange&, const BatchNormLanes&, bool, const Bf16*, const Bf16*, Bf16*);
template void batch_norm_reduce(const BatchNormRange&, const BatchNormLanes&, const BatchNormGrad<Bf16>&, Bf16*,
                                double*, double*);
template void batch_norm_grad_x(const BatchNormRange&, const BatchNormLanes&, const BatchNormGrad<Bf16>&, const float*,
                                const float*, Bf16*);

}  // namespace gradamp::GRADAMP_SIMD
