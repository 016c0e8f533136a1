// SPDX-License-Identifier: MIT
// Every operation in float64 with plain loops, according to its definition: the reference for the backends. The
// backwards are checked against finite differences of the forwards.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/core/philox.h"
#include "gradamp/core/shape.h"

namespace gradamp::reference {

/// A float64 array; images (N, H, W, C).
struct Array {
  Shape shape;
  std::vector<double> values;

  Array() = default;
  explicit Array(const Shape& extents) : shape(extents), values(static_cast<std::size_t>(extents.count())) {}
  Array(const Shape& extents, std::vector<double> numbers) : shape(extents), values(std::move(numbers)) {}

  double& at(std::int64_t i) { return values[static_cast<std::size_t>(i)]; }
  double at(std::int64_t i) const { return values[static_cast<std::size_t>(i)]; }
  std::int64_t index(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) const {
    return ((n * shape[1] + h) * shape[2] + w) * shape[3] + c;
  }
  double& at(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) { return at(index(n, h, w, c)); }
  double at(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) const { return at(index(n, h, w, c)); }
};
using Arrays = std::vector<Array>;

// A forward takes the differentiable inputs in the order of the public function, optional ones last and left out;
// a backward gives their gradients in the same order.

Array conv2d(const Arrays& inputs, const Conv2dParams& params);
Arrays conv2d_backward(const Arrays& inputs, const Array& grad_y, const Conv2dParams& params);

/// The statistics that a batch norm computes, per channel.
struct Moments {
  std::vector<double> mean, variance;  // the biased variance
};
Moments moments(const Array& x);
/// inputs: x, gamma, beta[, residual].
Array batch_norm(const Arrays& inputs, const Moments& statistics, const BatchNormParams& params);
Arrays batch_norm_backward(const Arrays& inputs, const Array& grad_y, const BatchNormParams& params);

Array relu(const Array& x);
/// Rounds every value to 8 significant bits, to nearest, ties to even; normal numbers only.
Array round_to_bf16(const Array& x);
Array add(const Array& a, const Array& b);
/// The elementwise product.
Array mul(const Array& a, const Array& b);

/// Over the last dimension; the backward takes the forward's input.
Array softmax(const Array& x);
Array softmax_backward(const Array& x, const Array& grad_y);

/// Side by side along the last dimension.
Array concat(const Arrays& inputs);
Arrays concat_backward(const Arrays& inputs, const Array& grad_y);

/// If several elements of a window are maximal, the first one counts.
Array max_pool2d(const Array& x, const Pool2dParams& params);
Array max_pool2d_backward(const Array& x, const Array& grad_y, const Pool2dParams& params);
/// The index h * W + w of each maximum.
std::vector<std::int32_t> max_pool2d_argmax(const Array& x, const Pool2dParams& params);
Array avg_pool2d(const Array& x, const Pool2dParams& params);
Array global_avg_pool(const Array& x);
Array zero_pad_shortcut(const Array& x, std::int64_t channels);

/// inputs: x, weight[, bias].
Array linear(const Arrays& inputs);
Arrays linear_backward(const Arrays& inputs, const Array& grad_y);

/// Drops element i if the number drawn for it is below the probability.
Array dropout(const Array& x, const DropoutParams& params, std::uint64_t seed, std::uint64_t step);

/// The sum over the batch of -log softmax at the label; with smoothing, of (1 - smoothing) of it and smoothing of the
/// mean of -log softmax over the classes.
double cross_entropy_sum(const Array& logits, const std::vector<std::int32_t>& labels, double smoothing = 0);
/// The number of rows whose label is the index of the largest logit, the first one if several are equal.
std::int64_t correct_count(const Array& logits, const std::vector<std::int32_t>& labels);

/// The keys of an image's random numbers: they depend only on seed, epoch and position in the epoch.
struct GatherPlace {
  std::uint64_t seed = 0, epoch = 0, position = 0;
};
/// images (M, H, W, C), whose values are divided by `scale` before they are normalized: 255 for bytes, 1 for f32. Gives
/// (count, H, W, C).
Array gather_images(const Array& images, double scale, const std::vector<std::int32_t>& order, std::int64_t count,
                    const GatherPlace& place, const GatherParams& params);

}  // namespace gradamp::reference
