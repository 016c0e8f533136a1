// SPDX-License-Identifier: MIT
// Batch norm + residual + ReLU over rows of C channels (NHWC viewed as (N H W, C)). The loops are in
// kernels/cpu/simd/batch_norm.cpp.
//
// The moments of x come from the convolution that computed it (kernels/cpu/simd/moments.h). If there is none, x is
// loaded once from memory: a range of rows that fits the cache is read twice, for its mean and its squared deviations.
// The groups are combined in double precision: with group g of n_g rows, mean m_g and squared deviations d_g,
// m = (sum of n_g m_g) / n and d = sum of d_g + n_g (m_g - m)^2.
#include <cmath>
#include <vector>

#include "gradamp/kernels/cpu/batch_norm_range.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

constexpr std::int64_t kMinLanes = 64;

/// How rows of C channels map to lanes and ranges. All counts are in elements.
struct Layout {
  std::int64_t channels, total, lanes, range;

  explicit Layout(const Shape& shape) : channels(shape[shape.rank() - 1]), total(shape.count()) {
    lanes = channels * std::max<std::int64_t>(1, (kMinLanes + channels - 1) / channels);
    check(lanes <= kMaxBatchNormLanes, "batch_norm: expected at most {} channels, got {}", +kMaxBatchNormLanes,
          channels);
    range = lanes * std::max<std::int64_t>(1, kElementwiseGrain / lanes);
  }
  std::int64_t rows() const { return total / channels; }
  std::int64_t ranges() const { return (total + range - 1) / range; }
  BatchNormRange range_at(std::int64_t index) const {
    return {channels, lanes, std::min(range, total - index * range)};
  }
};

/// A per-channel vector repeated over the lanes.
std::vector<float> over_lanes(const Layout& layout, const float* channel_values) {
  std::vector<float> lanes(static_cast<std::size_t>(layout.lanes));
  for (std::int64_t i = 0; i < layout.lanes; ++i)
    lanes[static_cast<std::size_t>(i)] = channel_values[i % layout.channels];
  return lanes;
}

/// The element at `offset`, or null if the tensor is undefined.
template <typename T>
T* at_offset(const Tensor& tensor, std::int64_t offset) {
  return tensor.defined() ? tensor.data<T>() + offset : nullptr;
}

/// The mean and the sum of squared deviations of each channel, from those of groups of rows: (groups, 2, channels) as
/// in ChannelMoments (core/backend.h).
class Moments {
 public:
  template <typename Float>
  Moments(const Float* groups, std::int64_t group_rows, const Layout& layout)
      : mean(static_cast<std::size_t>(layout.channels)), deviations(mean.size()) {
    const std::int64_t channels = layout.channels, rows = layout.rows();
    const auto for_each_group = [=](const auto& body) {
      const Float* group = groups;
      for (std::int64_t first = 0; first < rows; first += group_rows, group += 2 * channels)
        body(static_cast<double>(std::min(group_rows, rows - first)), group, group + channels);
    };
    double* const m = mean.data();
    double* const d = deviations.data();
    for_each_group([=](double weight, const Float* group_mean, const Float*) {
      for (std::int64_t c = 0; c < channels; ++c) m[c] += weight * static_cast<double>(group_mean[c]);
    });
    for (double& value : mean) value /= static_cast<double>(rows);
    for_each_group([=](double weight, const Float* group_mean, const Float* group_deviations) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const double off = static_cast<double>(group_mean[c]) - m[c];
        d[c] += static_cast<double>(group_deviations[c]) + weight * off * off;
      }
    });
  }

  std::vector<double> mean, deviations;
};

/// Computes the moments of x, unless its convolution has.
Moments moments_of(const SimdKernels& kernels, int threads, const BatchNormForward& tensors) {
  const Layout layout(tensors.x.shape());
  if (tensors.moments.values.defined()) return {tensors.moments.values.data<float>(), tensors.moments.rows, layout};
  std::vector<double> ranges(static_cast<std::size_t>(layout.ranges() * 2 * layout.channels));
  with_element_type(tensors.x.dtype(), [&]<typename T>(T) {
    parallel_for(threads, layout.ranges(), [&](std::int64_t index) {
      double* const mean = ranges.data() + index * 2 * layout.channels;
      kernels.of<T>().batch_norm.moments(layout.range_at(index), at_offset<T>(tensors.x, index * layout.range), mean,
                                         mean + layout.channels);
    });
  });
  return {ranges.data(), layout.range / layout.channels, layout};
}

/// The values of each channel, repeated over the lanes.
class Lanes {
 public:
  Lanes(const Layout& layout, const float* mean, const float* scale, const float* beta)
      : mean_(over_lanes(layout, mean)), scale_(over_lanes(layout, scale)), beta_(over_lanes(layout, beta)) {}
  Lanes(const Layout& layout, const float* mean, const float* gamma, const float* inverse_std, const float* beta)
      : Lanes(layout, mean, gamma, beta) {
    const std::vector<float> inverse = over_lanes(layout, inverse_std);
    for (std::size_t i = 0; i < scale_.size(); ++i) scale_[i] *= inverse[i];
  }
  BatchNormLanes get() const { return {mean_.data(), scale_.data(), beta_.data()}; }
  /// gamma / std of a channel.
  float scale(std::size_t channel) const { return scale_[channel]; }

 private:
  std::vector<float> mean_, scale_, beta_;
};

/// y = [relu](batch norm of x [+ residual]).
void apply(const SimdKernels& kernels, int threads, const Lanes& lanes, bool relu, const Tensor& x,
           const Tensor& residual, const Tensor& y) {
  const Layout layout(x.shape());
  with_element_type(x.dtype(), [&]<typename T>(T) {
    parallel_for(threads, layout.ranges(), [&](std::int64_t index) {
      const std::int64_t offset = index * layout.range;
      kernels.of<T>().batch_norm.apply(layout.range_at(index), lanes.get(), relu, at_offset<T>(x, offset),
                                       at_offset<T>(residual, offset), at_offset<T>(y, offset));
    });
  });
}

/// Computes y from x with one mean and one inverse std per channel; or, if y is undefined, only what is applied to x.
void finish(const SimdKernels& kernels, int threads, const BatchNormForward& tensors, bool relu, const float* mean,
            const float* inverse_std) {
  const float *gamma = tensors.gamma.data<float>(), *beta = tensors.beta.data<float>();
  if (tensors.y.defined()) {
    const Lanes lanes(Layout(tensors.x.shape()), mean, gamma, inverse_std, beta);
    apply(kernels, threads, lanes, relu, tensors.x, tensors.residual, tensors.y);
    return;
  }
  const std::int64_t channels = tensors.gamma.count();
  float* const affine = tensors.affine.data<float>();
  for (std::int64_t c = 0; c < channels; ++c) {
    affine[c] = mean[c];
    affine[channels + c] = gamma[c] * inverse_std[c];
    affine[2 * channels + c] = beta[c];
  }
}

template <typename T>
void backward(const BatchNormKernels<T>& kernels, int threads, const BatchNormBackward& tensors,
              const BatchNormParams& params) {
  const Layout layout(tensors.x.shape());
  const std::int64_t channels = layout.channels;
  const float* inverse_std = tensors.inverse_std.data<float>();
  const Lanes lanes(layout, tensors.mean.data<float>(), tensors.gamma.data<float>(), inverse_std,
                    tensors.beta.data<float>());
  const ReluMask mask = !params.relu ? ReluMask::kNone : tensors.y.defined() ? ReluMask::kFromY : ReluMask::kFromX;
  const auto grad_at = [&](ReluMask of, const Tensor& grad, std::int64_t offset) -> BatchNormGrad<T> {
    return {of, at_offset<T>(tensors.x, offset), at_offset<T>(grad, offset), at_offset<T>(tensors.y, offset)};
  };

  std::vector<double> grad_sums(static_cast<std::size_t>(layout.ranges() * channels));
  std::vector<double> product_sums(grad_sums.size());
  // With a residual, g is the residual's gradient: it is stored, and the second pass reads it instead of grad_y and y.
  const bool stores_residual = mask == ReluMask::kFromY && tensors.grad_residual.defined();
  parallel_for(threads, layout.ranges(), [&](std::int64_t index) {
    const std::int64_t offset = index * layout.range;
    kernels.reduce(layout.range_at(index), lanes.get(), grad_at(mask, tensors.grad_y, offset),
                   stores_residual ? at_offset<T>(tensors.grad_residual, offset) : nullptr,
                   grad_sums.data() + index * channels, product_sums.data() + index * channels);
  });

  std::vector<double> grad_total(static_cast<std::size_t>(channels)), product_total(grad_total.size());
  for (std::size_t i = 0; i < grad_sums.size(); ++i) {
    grad_total[i % static_cast<std::size_t>(channels)] += grad_sums[i];
    product_total[i % static_cast<std::size_t>(channels)] += product_sums[i];
  }
  float* grad_gamma = tensors.grad_gamma.data<float>();
  float* grad_beta = tensors.grad_beta.data<float>();
  std::vector<float> slope(grad_total.size()), offset(grad_total.size());
  const double rows = static_cast<double>(layout.rows());
  for (std::size_t c = 0; c < slope.size(); ++c) {
    const double inverse = inverse_std[c];
    grad_beta[c] = static_cast<float>(grad_total[c]);
    grad_gamma[c] = static_cast<float>(product_total[c] * inverse);
    slope[c] = static_cast<float>(-lanes.scale(c) * inverse * inverse * product_total[c] / rows);
    offset[c] = static_cast<float>(-lanes.scale(c) * grad_total[c] / rows);
  }
  const std::vector<float> slope_lanes = over_lanes(layout, slope.data());
  const std::vector<float> offset_lanes = over_lanes(layout, offset.data());

  const ReluMask left = stores_residual ? ReluMask::kNone : mask;
  const Tensor& grad = stores_residual ? tensors.grad_residual : tensors.grad_y;
  parallel_for(threads, layout.ranges(), [&](std::int64_t index) {
    const std::int64_t at = index * layout.range;
    kernels.grad_x(layout.range_at(index), lanes.get(), grad_at(left, grad, at), slope_lanes.data(),
                   offset_lanes.data(), at_offset<T>(tensors.grad_x, at));
  });
}

}  // namespace

void CpuBackend::batch_norm_forward_training(const BatchNormForward& tensors, const BatchNormParams& params) {
  const Moments moments = moments_of(kernels_, threads_, tensors);
  float* mean = tensors.mean.data<float>();
  float* inverse_std = tensors.inverse_std.data<float>();
  float* running_mean = tensors.running_mean.data<float>();
  float* running_var = tensors.running_var.data<float>();
  const std::int64_t channels = tensors.gamma.count();
  const double rows = static_cast<double>(tensors.x.count() / channels);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double deviations = moments.deviations[static_cast<std::size_t>(c)];
    mean[c] = static_cast<float>(moments.mean[static_cast<std::size_t>(c)]);
    inverse_std[c] = static_cast<float>(1.0 / std::sqrt(deviations / rows + params.epsilon));
    running_mean[c] += params.momentum * (mean[c] - running_mean[c]);
    running_var[c] += params.momentum * (static_cast<float>(deviations / (rows - 1)) - running_var[c]);
  }
  finish(kernels_, threads_, tensors, params.relu, mean, inverse_std);
}

void CpuBackend::batch_norm_forward_evaluation(const BatchNormForward& tensors, const BatchNormParams& params) {
  const std::int64_t channels = tensors.gamma.count();
  const float* running_var = tensors.running_var.data<float>();
  std::vector<float> inverse_std(static_cast<std::size_t>(channels));
  for (std::int64_t c = 0; c < channels; ++c) {
    inverse_std[static_cast<std::size_t>(c)] = 1.0f / std::sqrt(running_var[c] + params.epsilon);
  }
  finish(kernels_, threads_, tensors, params.relu, tensors.running_mean.data<float>(), inverse_std.data());
}

void CpuBackend::apply_batch_norm(const NormalizedTensor& x, const Tensor& y) {
  const Layout layout(y.shape());
  const float* const mean = x.affine.data<float>();
  const Lanes lanes(layout, mean, mean + layout.channels, mean + 2 * layout.channels);
  apply(kernels_, threads_, lanes, x.relu, x.tensor, Tensor(), y);
}

void CpuBackend::batch_norm_backward(const BatchNormBackward& tensors, const BatchNormParams& params) {
  with_element_type(tensors.x.dtype(),
                    [&]<typename T>(T) { backward(kernels_.of<T>().batch_norm, threads_, tensors, params); });
}

}  // namespace gradamp
