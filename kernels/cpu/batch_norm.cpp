// SPDX-License-Identifier: MIT
// Batch norm + residual + ReLU over rows of C channels (NHWC viewed as (N H W, C)).
//
// Every loop runs over "lanes", a multiple of C with at least 64 floats, so that few channels also fill vector
// registers. Statistics load x once from memory: a range of rows that fits the cache is read twice, for its mean and
// its squared deviations, and the ranges are combined in order in double precision (T. F. Chan, G. H. Golub, R. J.
// LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
#include <cmath>
#include <vector>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

constexpr std::int64_t kMinLanes = 64;
constexpr std::int64_t kMaxStackLanes = 4096;

/// How rows of C channels map to lanes and ranges. All counts are in floats.
struct Layout {
  std::int64_t channels, total, lanes, range;

  explicit Layout(const Shape& shape) : channels(shape[shape.rank() - 1]), total(shape.count()) {
    lanes = channels * std::max<std::int64_t>(1, (kMinLanes + channels - 1) / channels);
    check(lanes <= kMaxStackLanes, "batch_norm: expected at most {} channels, got {}", +kMaxStackLanes, channels);
    range = lanes * std::max<std::int64_t>(1, kElementwiseGrain / lanes);
  }
  std::int64_t rows() const { return total / channels; }
  std::int64_t ranges() const { return (total + range - 1) / range; }
  std::int64_t range_floats(std::int64_t index) const { return std::min(range, total - index * range); }
};

/// A per-channel vector repeated over the lanes.
std::vector<float> over_lanes(const Layout& layout, const float* channel_values) {
  std::vector<float> lanes(static_cast<std::size_t>(layout.lanes));
  for (std::int64_t i = 0; i < layout.lanes; ++i)
    lanes[static_cast<std::size_t>(i)] = channel_values[i % layout.channels];
  return lanes;
}

/// Sums per lane in double precision. Float32 sums over many rows would leave errors in the gradients' means, which
/// nearly canceling sums of later layers enlarge. The loop is bound by memory, so double costs nothing.
class LaneSums {
 public:
  explicit LaneSums(std::int64_t lanes) : lanes_(lanes) { std::fill_n(sums_, lanes, 0.0); }
  double* data() { return sums_; }
  /// Adds the lanes of each channel.
  void fold(std::int64_t channels, double* channel_sums) const {
    std::fill_n(channel_sums, channels, 0.0);
    for (std::int64_t i = 0; i < lanes_; ++i) channel_sums[i % channels] += sums_[i];
  }

 private:
  std::int64_t lanes_;
  alignas(64) double sums_[kMaxStackLanes];
};

/// Mean and sum of squared deviations of one range, by channel.
void range_moments(const Layout& layout, const float* x, std::int64_t floats, double* mean, double* deviations) {
  const std::int64_t lanes = layout.lanes, channels = layout.channels;
  LaneSums values(lanes), squares(lanes);
  double* value_sums = values.data();
  for (std::int64_t row = 0; row < floats; row += lanes) {
    const std::int64_t width = std::min(lanes, floats - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) value_sums[i] += static_cast<double>(x[row + i]);
  }
  values.fold(channels, mean);
  const double rows = static_cast<double>(floats / channels);
  alignas(64) float center[kMaxStackLanes];
  for (std::int64_t c = 0; c < channels; ++c) mean[c] /= rows;
  for (std::int64_t i = 0; i < lanes; ++i) center[i] = static_cast<float>(mean[i % channels]);

  double* square_sums = squares.data();
  for (std::int64_t row = 0; row < floats; row += lanes) {
    const std::int64_t width = std::min(lanes, floats - row);
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

struct Moments {
  double mean = 0, deviations = 0, rows = 0;

  void merge(double other_mean, double other_deviations, double other_rows) {
    const double all = rows + other_rows;
    const double delta = other_mean - mean;
    mean += delta * other_rows / all;
    deviations += other_deviations + delta * delta * rows * other_rows / all;
    rows = all;
  }
};

/// The normalized, scaled and shifted value before the residual. Forward and backward share this expression, so that
/// the ReLU's mask is bitwise identical in both.
inline float affine(float x, float mean, float scale, float beta) { return std::fma(x - mean, scale, beta); }

template <bool kRelu, bool kResidual>
void apply_range(const Layout& layout, std::int64_t index, const float* x_all, const float* residual_all, float* y_all,
                 const float* mean, const float* scale, const float* beta) {
  const float* x = x_all + index * layout.range;
  const float* residual = kResidual ? residual_all + index * layout.range : nullptr;
  float* y = y_all + index * layout.range;
  const std::int64_t floats = layout.range_floats(index);
  for (std::int64_t row = 0; row < floats; row += layout.lanes) {
    const std::int64_t width = std::min(layout.lanes, floats - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      float value = affine(x[row + i], mean[i], scale[i], beta[i]);
      if constexpr (kResidual) value += residual[row + i];
      if constexpr (kRelu) value = value < 0.0f ? 0.0f : value;  // a NaN stays a NaN
      y[row + i] = value;
    }
  }
}

/// Computes y from x with one mean and one inverse std per channel.
void apply(int threads, const BatchNormForward& tensors, bool relu, const float* mean, const float* inverse_std) {
  const Layout layout(tensors.x.shape());
  const float* gamma = tensors.gamma.data<float>();
  std::vector<float> scale(static_cast<std::size_t>(layout.channels));
  for (std::int64_t c = 0; c < layout.channels; ++c) scale[static_cast<std::size_t>(c)] = gamma[c] * inverse_std[c];
  const std::vector<float> mean_lanes = over_lanes(layout, mean);
  const std::vector<float> scale_lanes = over_lanes(layout, scale.data());
  const std::vector<float> beta_lanes = over_lanes(layout, tensors.beta.data<float>());
  const bool has_residual = tensors.residual.defined();
  const auto range = relu ? (has_residual ? apply_range<true, true> : apply_range<true, false>)
                          : (has_residual ? apply_range<false, true> : apply_range<false, false>);
  parallel_for(threads, layout.ranges(), [&](std::int64_t index) {
    range(layout, index, tensors.x.data<float>(), has_residual ? tensors.residual.data<float>() : nullptr,
          tensors.y.data<float>(), mean_lanes.data(), scale_lanes.data(), beta_lanes.data());
  });
}

/// The source of the ReLU's mask in the backward.
enum class Mask { kNone, kFromX, kFromY };

/// The per-channel values that the backward needs, repeated over the lanes.
struct BackwardLanes {
  std::vector<float> mean, scale, beta;
};

/// One range of the backward's reduction: sums of the masked gradient g and of g (x - mean). With a residual, g is the
/// residual's gradient: it is stored, and the second pass reads it instead of grad_y and y.
template <Mask kMask>
void reduce_range(const Layout& layout, std::int64_t index, const BatchNormBackward& tensors,
                  const BackwardLanes& lanes, double* grad_sums, double* product_sums) {
  const std::int64_t offset = index * layout.range;
  const float* x = tensors.x.data<float>() + offset;
  const float* grad_y = tensors.grad_y.data<float>() + offset;
  const float* y = kMask == Mask::kFromY ? tensors.y.data<float>() + offset : nullptr;
  float* grad_residual =
      kMask == Mask::kFromY && tensors.grad_residual.defined() ? tensors.grad_residual.data<float>() + offset : nullptr;
  const std::int64_t floats = layout.range_floats(index);
  LaneSums all_grads(layout.lanes), all_products(layout.lanes);
  double* grads = all_grads.data();
  double* products = all_products.data();
  const float* mean = lanes.mean.data();
  const float* scale = lanes.scale.data();
  const float* beta = lanes.beta.data();
  const auto add_rows = [&](auto write_residual) {
    for (std::int64_t row = 0; row < floats; row += layout.lanes) {
      const std::int64_t width = std::min(layout.lanes, floats - row);
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) {
        float g = grad_y[row + i];
        if constexpr (kMask == Mask::kFromX) {
          g = affine(x[row + i], mean[i], scale[i], beta[i]) > 0.0f ? g : 0.0f;
        } else if constexpr (kMask == Mask::kFromY) {
          g = y[row + i] > 0.0f ? g : 0.0f;
        }
        if constexpr (write_residual) grad_residual[row + i] = g;
        grads[i] += static_cast<double>(g);
        products[i] += static_cast<double>(g * (x[row + i] - mean[i]));
      }
    }
  };
  if (grad_residual != nullptr) {
    add_rows(std::true_type{});
  } else {
    add_rows(std::false_type{});
  }
  all_grads.fold(layout.channels, grad_sums);
  all_products.fold(layout.channels, product_sums);
}

/// One range of grad_x = scale g + slope (x - mean) + offset.
template <Mask kMask>
void grad_x_range(const Layout& layout, std::int64_t index, const BatchNormBackward& tensors, const Tensor& masked_grad,
                  const BackwardLanes& lanes, const float* slope, const float* offset) {
  const std::int64_t first = index * layout.range;
  const float* x = tensors.x.data<float>() + first;
  const float* grad = masked_grad.data<float>() + first;
  const float* y = kMask == Mask::kFromY ? tensors.y.data<float>() + first : nullptr;
  float* grad_x = tensors.grad_x.data<float>() + first;
  const float* mean = lanes.mean.data();
  const float* scale = lanes.scale.data();
  const float* beta = lanes.beta.data();
  const std::int64_t floats = layout.range_floats(index);
  for (std::int64_t row = 0; row < floats; row += layout.lanes) {
    const std::int64_t width = std::min(layout.lanes, floats - row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      float g = grad[row + i];
      if constexpr (kMask == Mask::kFromX) {
        g = affine(x[row + i], mean[i], scale[i], beta[i]) > 0.0f ? g : 0.0f;
      } else if constexpr (kMask == Mask::kFromY) {
        g = y[row + i] > 0.0f ? g : 0.0f;
      }
      grad_x[row + i] = std::fma(scale[i], g, std::fma(slope[i], x[row + i] - mean[i], offset[i]));
    }
  }
}

}  // namespace

void CpuBackend::batch_norm_forward_training(const BatchNormForward& tensors, const BatchNormParams& params) {
  const Layout layout(tensors.x.shape());
  const std::int64_t channels = layout.channels;
  std::vector<double> means(static_cast<std::size_t>(layout.ranges() * channels));
  std::vector<double> deviations(means.size());
  parallel_for(threads_, layout.ranges(), [&](std::int64_t index) {
    range_moments(layout, tensors.x.data<float>() + index * layout.range, layout.range_floats(index),
                  means.data() + index * channels, deviations.data() + index * channels);
  });

  float* mean = tensors.mean.data<float>();
  float* inverse_std = tensors.inverse_std.data<float>();
  float* running_mean = tensors.running_mean.data<float>();
  float* running_var = tensors.running_var.data<float>();
  const double rows = static_cast<double>(layout.rows());
  std::vector<Moments> moments(static_cast<std::size_t>(channels));
  for (std::int64_t index = 0; index < layout.ranges(); ++index) {
    const double range_rows = static_cast<double>(layout.range_floats(index) / channels);
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto at = static_cast<std::size_t>(index * channels + c);
      moments[static_cast<std::size_t>(c)].merge(means[at], deviations[at], range_rows);
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    const Moments& m = moments[static_cast<std::size_t>(c)];
    mean[c] = static_cast<float>(m.mean);
    inverse_std[c] = static_cast<float>(1.0 / std::sqrt(m.deviations / rows + params.epsilon));
    running_mean[c] += params.momentum * (mean[c] - running_mean[c]);
    running_var[c] += params.momentum * (static_cast<float>(m.deviations / (rows - 1)) - running_var[c]);
  }
  apply(threads_, tensors, params.relu, mean, inverse_std);
}

void CpuBackend::batch_norm_forward_evaluation(const BatchNormForward& tensors, const BatchNormParams& params) {
  const std::int64_t channels = tensors.gamma.count();
  const float* running_var = tensors.running_var.data<float>();
  std::vector<float> inverse_std(static_cast<std::size_t>(channels));
  for (std::int64_t c = 0; c < channels; ++c) {
    inverse_std[static_cast<std::size_t>(c)] = 1.0f / std::sqrt(running_var[c] + params.epsilon);
  }
  apply(threads_, tensors, params.relu, tensors.running_mean.data<float>(), inverse_std.data());
}

void CpuBackend::batch_norm_backward(const BatchNormBackward& tensors, const BatchNormParams& params) {
  const Layout layout(tensors.x.shape());
  const std::int64_t channels = layout.channels;
  const float* inverse_std = tensors.inverse_std.data<float>();
  const float* gamma = tensors.gamma.data<float>();
  std::vector<float> scale(static_cast<std::size_t>(channels));
  for (std::int64_t c = 0; c < channels; ++c) scale[static_cast<std::size_t>(c)] = gamma[c] * inverse_std[c];
  const BackwardLanes lanes{over_lanes(layout, tensors.mean.data<float>()), over_lanes(layout, scale.data()),
                            over_lanes(layout, tensors.beta.data<float>())};
  const Mask mask = !params.relu ? Mask::kNone : tensors.y.defined() ? Mask::kFromY : Mask::kFromX;

  std::vector<double> grad_sums(static_cast<std::size_t>(layout.ranges() * channels));
  std::vector<double> product_sums(grad_sums.size());
  const auto reduce = mask == Mask::kNone    ? reduce_range<Mask::kNone>
                      : mask == Mask::kFromX ? reduce_range<Mask::kFromX>
                                             : reduce_range<Mask::kFromY>;
  parallel_for(threads_, layout.ranges(), [&](std::int64_t index) {
    reduce(layout, index, tensors, lanes, grad_sums.data() + index * channels, product_sums.data() + index * channels);
  });

  std::vector<double> grad_total(static_cast<std::size_t>(channels)), product_total(grad_total.size());
  for (std::size_t i = 0; i < grad_sums.size(); ++i) {
    grad_total[i % static_cast<std::size_t>(channels)] += grad_sums[i];
    product_total[i % static_cast<std::size_t>(channels)] += product_sums[i];
  }
  float* grad_gamma = tensors.grad_gamma.data<float>();
  float* grad_beta = tensors.grad_beta.data<float>();
  std::vector<float> slope(scale.size()), offset(scale.size());
  const double rows = static_cast<double>(layout.rows());
  for (std::size_t c = 0; c < scale.size(); ++c) {
    const double inverse = inverse_std[c];
    grad_beta[c] = static_cast<float>(grad_total[c]);
    grad_gamma[c] = static_cast<float>(product_total[c] * inverse);
    slope[c] = static_cast<float>(-scale[c] * inverse * inverse * product_total[c] / rows);
    offset[c] = static_cast<float>(-scale[c] * grad_total[c] / rows);
  }
  const std::vector<float> slope_lanes = over_lanes(layout, slope.data());
  const std::vector<float> offset_lanes = over_lanes(layout, offset.data());

  const bool already_masked = mask == Mask::kFromY && tensors.grad_residual.defined();
  const Tensor& grad = already_masked ? tensors.grad_residual : tensors.grad_y;
  const auto grad_x = mask == Mask::kNone || already_masked ? grad_x_range<Mask::kNone>
                      : mask == Mask::kFromX                ? grad_x_range<Mask::kFromX>
                                                            : grad_x_range<Mask::kFromY>;
  parallel_for(threads_, layout.ranges(), [&](std::int64_t index) {
    grad_x(layout, index, tensors, grad, lanes, slope_lanes.data(), offset_lanes.data());
  });
}

}  // namespace gradamp
