// SPDX-License-Identifier: MIT
// Batch norm + residual + ReLU over rows of C channels (NHWC viewed as (N H W, C)). The loops are in
// kernels/cpu/simd/batch_norm.cpp.
//
// The moments of x come from the convolution that computed it (kernels/cpu/simd/moments.h). If there is none, x is
// loaded once from memory: a range of rows that fits the cache is read twice, for its mean and its squared deviations.
// The groups are combined in double precision: with group g of n_g rows, mean m_g and squared deviations d_g,
// m = (sum of n_g m_g) / n and d = sum of d_g + n_g (m_g - m)^2.
#include <algorithm>
#include <cmath>
#include <vector>

#include "gradamp/kernels/cpu/batch_norm_range.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

constexpr std::int64_t kMinLanes = 64;

float to_f32(double value) { return static_cast<float>(value); }

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

  /// Those in a tensor (2, C).
  explicit Moments(const Tensor& pair) {
    const float* const values = pair.data<float>();
    const std::int64_t channels = pair.shape()[1];
    mean.assign(values, values + channels);
    deviations.assign(values + channels, values + 2 * channels);
  }

  std::vector<double> mean, deviations;
};

/// Computes the moments of x, unless its convolution has.
Moments moments_of(const SimdKernels& kernels, int threads, const Tensor& x, const ChannelMoments& moments) {
  const Layout layout(x.shape());
  if (moments.values.defined()) return {moments.values.data<float>(), moments.rows, layout};
  std::vector<double> ranges(static_cast<std::size_t>(layout.ranges() * 2 * layout.channels));
  with_element_type(x.dtype(), [&]<typename T>(T) {
    parallel_for(threads, layout.ranges(), [&](std::int64_t index) {
      double* const mean = ranges.data() + index * 2 * layout.channels;
      kernels.of<T>().batch_norm.moments(layout.range_at(index), at_offset<T>(x, index * layout.range), mean,
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

/// The sums over the rows of g and of g (x - mean), per channel (BatchNormBackward in core/backend.h).
struct GradientSums {
  std::vector<double> grad, product;

  explicit GradientSums(std::int64_t channels) : grad(static_cast<std::size_t>(channels)), product(grad.size()) {}
};

/// The backward's two passes over the rows.
template <typename T>
class Backward {
 public:
  Backward(const BatchNormKernels<T>& kernels, int threads, const BatchNormBackward& tensors,
           const BatchNormParams& params)
      : kernels_(kernels),
        threads_(threads),
        tensors_(tensors),
        layout_(tensors.x.shape()),
        lanes_(layout_, tensors.mean.data<float>(), tensors.gamma.data<float>(), tensors.inverse_std.data<float>(),
               tensors.beta.data<float>()),
        mask_(!params.relu || tensors.is_masked ? ReluMask::kNone
              : tensors.y.defined()             ? ReluMask::kFromY
                                                : ReluMask::kFromX),
        stores_residual_(mask_ == ReluMask::kFromY && tensors.grad_residual.defined()) {}

  /// Also stores grad_residual.
  GradientSums sums() const {
    const std::int64_t channels = layout_.channels;
    std::vector<double> grad(static_cast<std::size_t>(layout_.ranges() * channels)), product(grad.size());
    parallel_for(threads_, layout_.ranges(), [&](std::int64_t index) {
      const std::int64_t offset = index * layout_.range;
      kernels_.reduce(layout_.range_at(index), lanes_.get(), grad_at(mask_, tensors_.grad_y, offset),
                      stores_residual_ ? at_offset<T>(tensors_.grad_residual, offset) : nullptr,
                      grad.data() + index * channels, product.data() + index * channels);
    });
    GradientSums total(channels);
    for (std::size_t i = 0; i < grad.size(); ++i) {
      total.grad[i % total.grad.size()] += grad[i];
      total.product[i % total.grad.size()] += product[i];
    }
    return total;
  }

  /// Computes grad_x. With a residual, g is the residual's gradient, and is read instead of grad_y and y.
  void apply(const GradientSums& sums, double rows) const {
    std::vector<float> slope(sums.grad.size()), offset(slope.size());
    for (std::size_t c = 0; c < slope.size(); ++c) {
      const double inverse = tensors_.inverse_std.data<float>()[c];
      slope[c] = static_cast<float>(-lanes_.scale(c) * inverse * inverse * sums.product[c] / rows);
      offset[c] = static_cast<float>(-lanes_.scale(c) * sums.grad[c] / rows);
    }
    const std::vector<float> slope_lanes = over_lanes(layout_, slope.data());
    const std::vector<float> offset_lanes = over_lanes(layout_, offset.data());
    const ReluMask left = stores_residual_ ? ReluMask::kNone : mask_;
    const Tensor& grad = stores_residual_ ? tensors_.grad_residual : tensors_.grad_y;
    parallel_for(threads_, layout_.ranges(), [&](std::int64_t index) {
      const std::int64_t at = index * layout_.range;
      kernels_.grad_x(layout_.range_at(index), lanes_.get(), grad_at(left, grad, at), slope_lanes.data(),
                      offset_lanes.data(), at_offset<T>(tensors_.grad_x, at));
    });
  }

 private:
  BatchNormGrad<T> grad_at(ReluMask mask, const Tensor& grad, std::int64_t offset) const {
    return {mask, at_offset<T>(tensors_.x, offset), at_offset<T>(grad, offset), at_offset<T>(tensors_.y, offset)};
  }

  const BatchNormKernels<T>& kernels_;
  int threads_;
  const BatchNormBackward& tensors_;
  Layout layout_;
  Lanes lanes_;
  ReluMask mask_;
  bool stores_residual_;
};

/// Calls body(mean, deviations, rows) for each shard that has images.
template <typename Body>
void for_each_shard(const Tensor& of_shards, const Tensor& images, std::int64_t pixels, const Body& body) {
  const std::int64_t channels = of_shards.shape()[2];
  for (std::int64_t shard = 0; shard < images.count(); ++shard) {
    const double rows = static_cast<double>(images.data<float>()[shard]) * static_cast<double>(pixels);
    const float* const pair = of_shards.data<float>() + shard * 2 * channels;
    if (rows > 0) body(pair, pair + channels, rows);
  }
}

}  // namespace

void CpuBackend::batch_norm_forward_training(const BatchNormForward& tensors, const BatchNormParams& params) {
  const Tensor& of_batch = tensors.batch_moments;
  const double rows = static_cast<double>(of_batch.defined() ? tensors.batch_rows : Layout(tensors.x.shape()).rows());
  const Moments moments =
      of_batch.defined() ? Moments(of_batch) : moments_of(kernels_, threads_, tensors.x, tensors.moments);
  float* mean = tensors.mean.data<float>();
  float* inverse_std = tensors.inverse_std.data<float>();
  float* running_mean = at_offset<float>(tensors.running_mean, 0);
  float* running_var = at_offset<float>(tensors.running_var, 0);
  const std::int64_t channels = tensors.gamma.count();
  for (std::int64_t c = 0; c < channels; ++c) {
    const double deviations = moments.deviations[static_cast<std::size_t>(c)];
    mean[c] = static_cast<float>(moments.mean[static_cast<std::size_t>(c)]);
    inverse_std[c] = static_cast<float>(1.0 / std::sqrt(deviations / rows + params.epsilon));
    if (running_mean == nullptr) continue;
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
  const std::int64_t channels = tensors.mean.count();
  with_element_type(tensors.x.dtype(), [&]<typename T>(T) {
    const Backward<T> backward(kernels_.of<T>().batch_norm, threads_, tensors, params);
    if (tensors.sums.defined()) {
      GradientSums sums(channels);
      const float* const given = tensors.sums.data<float>();
      std::copy_n(given, channels, sums.grad.begin());
      std::copy_n(given + channels, channels, sums.product.begin());
      backward.apply(sums, static_cast<double>(tensors.batch_rows));
      return;
    }
    const GradientSums sums = backward.sums();
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      tensors.grad_beta.data<float>()[c] = static_cast<float>(sums.grad[at]);
      tensors.grad_gamma.data<float>()[c] =
          static_cast<float>(sums.product[at] * static_cast<double>(tensors.inverse_std.data<float>()[c]));
    }
    backward.apply(sums, static_cast<double>(Layout(tensors.x.shape()).rows()));
  });
}

Tensor CpuBackend::batch_norm_moments(const Tensor& x, const ChannelMoments& moments) {
  const Moments values = moments_of(kernels_, threads_, x, moments);
  const auto channels = static_cast<std::int64_t>(values.mean.size());
  const Tensor pair = Tensor::empty(*this, {2, channels});
  std::transform(values.mean.begin(), values.mean.end(), pair.data<float>(), to_f32);
  std::transform(values.deviations.begin(), values.deviations.end(), pair.data<float>() + channels, to_f32);
  return pair;
}

void CpuBackend::batch_norm_sums(const BatchNormBackward& tensors, const BatchNormParams& params) {
  with_element_type(tensors.x.dtype(), [&]<typename T>(T) {
    const GradientSums sums = Backward<T>(kernels_.of<T>().batch_norm, threads_, tensors, params).sums();
    float* const pair = tensors.sums.data<float>();
    std::transform(sums.grad.begin(), sums.grad.end(), pair, to_f32);
    std::transform(sums.product.begin(), sums.product.end(), pair + sums.grad.size(), to_f32);
  });
}

void CpuBackend::merge_pairs(BatchNormPair kind, const Tensor& of_shards, const Tensor& images, std::int64_t pixels,
                             const Tensor& merged) {
  const auto channels = static_cast<std::size_t>(merged.shape()[1]);
  const bool is_moments = kind == BatchNormPair::kMoments;
  std::vector<double> first(channels), second(channels);
  double total = 0;
  for_each_shard(of_shards, images, pixels, [&](const float* a, const float* b, double rows) {
    total += rows;
    for (std::size_t c = 0; c < channels; ++c) {
      first[c] += is_moments ? rows * static_cast<double>(a[c]) : static_cast<double>(a[c]);
      second[c] += static_cast<double>(b[c]);
    }
  });
  if (is_moments) {
    for (double& mean : first) mean /= total;
    for_each_shard(of_shards, images, pixels, [&](const float* mean, const float*, double rows) {
      for (std::size_t c = 0; c < channels; ++c) {
        const double off = static_cast<double>(mean[c]) - first[c];
        second[c] += rows * off * off;
      }
    });
  }
  std::transform(first.begin(), first.end(), merged.data<float>(), to_f32);
  std::transform(second.begin(), second.end(), merged.data<float>() + channels, to_f32);
}

}  // namespace gradamp
