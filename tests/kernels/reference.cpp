// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/reference.h"

#include <cmath>
#include <limits>

namespace gradamp::reference {
namespace {

std::int64_t window_extent(std::int64_t extent, std::int64_t kernel, int stride, int padding) {
  return (extent + 2 * padding - kernel) / stride + 1;
}

bool inside(const Shape& image, std::int64_t h, std::int64_t w) {
  return h >= 0 && h < image[1] && w >= 0 && w < image[2];
}

/// Calls visit(y index, x index, weight index) for every product of a convolution.
template <typename Visit>
void for_each_product(const Shape& x, const Shape& weight, const Shape& y, const Conv2dParams& params, Visit visit) {
  for (std::int64_t n = 0; n < y[0]; ++n)
    for (std::int64_t p = 0; p < y[1]; ++p)
      for (std::int64_t q = 0; q < y[2]; ++q)
        for (std::int64_t k = 0; k < y[3]; ++k)
          for (std::int64_t r = 0; r < weight[1]; ++r)
            for (std::int64_t s = 0; s < weight[2]; ++s) {
              const std::int64_t h = p * params.stride + r * params.dilation - params.padding;
              const std::int64_t w = q * params.stride + s * params.dilation - params.padding;
              if (!inside(x, h, w)) continue;
              const std::int64_t y_index = ((n * y[1] + p) * y[2] + q) * y[3] + k;
              const std::int64_t group = k / (weight[0] / params.groups);
              const std::int64_t x_index = ((n * x[1] + h) * x[2] + w) * x[3] + group * weight[3];
              const std::int64_t weight_index = ((k * weight[1] + r) * weight[2] + s) * weight[3];
              for (std::int64_t c = 0; c < weight[3]; ++c) visit(y_index, x_index + c, weight_index + c);
            }
}

/// The sum over all but the last dimension.
Array column_sums(const Array& values) {
  const std::int64_t columns = values.shape[values.shape.rank() - 1];
  Array sums(Shape{columns});
  for (std::int64_t i = 0; i < values.shape.count(); ++i) sums.at(i % columns) += values.at(i);
  return sums;
}

/// Calls visit(y index, n, c, first row, first column) for every window; a window can extend beyond the image.
template <typename Visit>
void for_each_window(const Shape& y, const Pool2dParams& params, Visit visit) {
  std::int64_t index = 0;
  for (std::int64_t n = 0; n < y[0]; ++n)
    for (std::int64_t p = 0; p < y[1]; ++p)
      for (std::int64_t q = 0; q < y[2]; ++q)
        for (std::int64_t c = 0; c < y[3]; ++c, ++index)
          visit(index, n, c, p * params.stride - params.padding, q * params.stride - params.padding);
}

Shape pooled_shape(const Shape& x, const Pool2dParams& params) {
  return {x[0], window_extent(x[1], params.kernel, params.stride, params.padding),
          window_extent(x[2], params.kernel, params.stride, params.padding), x[3]};
}

/// The index in x of the maximum of a window.
std::int64_t window_maximum(const Array& x, std::int64_t n, std::int64_t c, std::int64_t h0, std::int64_t w0,
                            int kernel) {
  std::int64_t best = -1;
  for (std::int64_t h = h0; h < h0 + kernel; ++h)
    for (std::int64_t w = w0; w < w0 + kernel; ++w) {
      if (!inside(x.shape, h, w)) continue;
      const std::int64_t index = x.index(n, h, w, c);
      if (best < 0 || x.at(index) > x.at(best)) best = index;
    }
  return best;
}

}  // namespace

Array conv2d(const Arrays& inputs, const Conv2dParams& params) {
  const Array &x = inputs[0], &weight = inputs[1];
  const auto extent = [&](std::int64_t image, std::int64_t taps) {
    return window_extent(image, (taps - 1) * params.dilation + 1, params.stride, params.padding);
  };
  Array y(Shape{x.shape[0], extent(x.shape[1], weight.shape[1]), extent(x.shape[2], weight.shape[2]), weight.shape[0]});
  for_each_product(x.shape, weight.shape, y.shape, params,
                   [&](auto i, auto j, auto k) { y.at(i) += x.at(j) * weight.at(k); });
  if (inputs.size() > 2) {
    for (std::int64_t i = 0; i < y.shape.count(); ++i) y.at(i) += inputs[2].at(i % weight.shape[0]);
  }
  return y;
}

Arrays conv2d_backward(const Arrays& inputs, const Array& grad_y, const Conv2dParams& params) {
  const Array &x = inputs[0], &weight = inputs[1];
  Arrays grads = {Array(x.shape), Array(weight.shape)};
  for_each_product(x.shape, weight.shape, grad_y.shape, params, [&](auto i, auto j, auto k) {
    grads[0].at(j) += grad_y.at(i) * weight.at(k);
    grads[1].at(k) += grad_y.at(i) * x.at(j);
  });
  if (inputs.size() > 2) grads.push_back(column_sums(grad_y));
  return grads;
}

Moments moments(const Array& x) {
  const std::int64_t channels = x.shape[x.shape.rank() - 1];
  const double rows = static_cast<double>(x.shape.count() / channels);
  Moments result{column_sums(x).values, std::vector<double>(static_cast<std::size_t>(channels))};
  for (double& mean : result.mean) mean /= rows;
  for (std::int64_t i = 0; i < x.shape.count(); ++i) {
    const auto c = static_cast<std::size_t>(i % channels);
    result.variance[c] += (x.at(i) - result.mean[c]) * (x.at(i) - result.mean[c]) / rows;
  }
  return result;
}

Array batch_norm(const Arrays& inputs, const Moments& statistics, const BatchNormParams& params) {
  const Array &x = inputs[0], &gamma = inputs[1], &beta = inputs[2];
  Array y(x.shape);
  for (std::int64_t i = 0; i < x.shape.count(); ++i) {
    const std::int64_t c = i % gamma.shape[0];
    const auto channel = static_cast<std::size_t>(c);
    const double deviation = std::sqrt(statistics.variance[channel] + static_cast<double>(params.epsilon));
    double value = gamma.at(c) * (x.at(i) - statistics.mean[channel]) / deviation + beta.at(c);
    if (inputs.size() > 3) value += inputs[3].at(i);
    y.at(i) = params.relu && value < 0 ? 0 : value;
  }
  return y;
}

Arrays batch_norm_backward(const Arrays& inputs, const Array& grad_y, const BatchNormParams& params) {
  const Array &x = inputs[0], &gamma = inputs[1];
  const std::int64_t channels = gamma.shape[0];
  const double rows = static_cast<double>(x.shape.count() / channels);
  const Moments statistics = moments(x);
  const Array y = batch_norm(inputs, statistics, params);
  Array grad = grad_y;  // before the ReLU
  Array normalized(x.shape), weighted(x.shape);
  for (std::int64_t i = 0; i < x.shape.count(); ++i) {
    const auto c = static_cast<std::size_t>(i % channels);
    if (params.relu && y.at(i) <= 0) grad.at(i) = 0;
    normalized.at(i) =
        (x.at(i) - statistics.mean[c]) / std::sqrt(statistics.variance[c] + static_cast<double>(params.epsilon));
    weighted.at(i) = grad.at(i) * normalized.at(i);
  }
  const Array grad_gamma = column_sums(weighted), grad_beta = column_sums(grad);
  Array grad_x(x.shape);
  for (std::int64_t i = 0; i < x.shape.count(); ++i) {
    const std::int64_t c = i % channels;
    const double deviation =
        std::sqrt(statistics.variance[static_cast<std::size_t>(c)] + static_cast<double>(params.epsilon));
    grad_x.at(i) =
        gamma.at(c) / deviation * (grad.at(i) - grad_beta.at(c) / rows - normalized.at(i) * grad_gamma.at(c) / rows);
  }
  Arrays grads = {grad_x, grad_gamma, grad_beta};
  if (inputs.size() > 3) grads.push_back(grad);
  return grads;
}

Array relu(const Array& x) {
  Array y = x;
  for (double& value : y.values) value = value < 0 ? 0 : value;
  return y;
}

Array round_to_bf16(const Array& x) {
  Array y = x;
  for (double& value : y.values) {
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);                       // in [0.5, 1)
    value = std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);  // ties to even
  }
  return y;
}

Array add(const Array& a, const Array& b) {
  Array sum = a;
  for (std::int64_t i = 0; i < a.shape.count(); ++i) sum.at(i) += b.at(i);
  return sum;
}

Array mul(const Array& a, const Array& b) {
  Array product = a;
  for (std::int64_t i = 0; i < a.shape.count(); ++i) product.at(i) *= b.at(i);
  return product;
}

Array softmax(const Array& x) {
  const std::int64_t channels = x.shape[x.shape.rank() - 1];
  Array y(x.shape);
  for (std::int64_t row = 0; row < x.shape.count(); row += channels) {
    double largest = x.at(row), total = 0;
    for (std::int64_t i = row; i < row + channels; ++i) largest = std::fmax(largest, x.at(i));
    for (std::int64_t i = row; i < row + channels; ++i) total += std::exp(x.at(i) - largest);
    for (std::int64_t i = row; i < row + channels; ++i) y.at(i) = std::exp(x.at(i) - largest) / total;
  }
  return y;
}

Array softmax_backward(const Array& x, const Array& grad_y) {
  const std::int64_t channels = x.shape[x.shape.rank() - 1];
  const Array y = softmax(x);
  Array grad_x(x.shape);
  for (std::int64_t row = 0; row < x.shape.count(); row += channels)
    for (std::int64_t i = row; i < row + channels; ++i)
      for (std::int64_t j = row; j < row + channels; ++j)
        grad_x.at(i) += grad_y.at(j) * y.at(j) * ((i == j ? 1.0 : 0.0) - y.at(i));
  return grad_x;
}

Array concat(const Arrays& inputs) {
  Shape shape;
  for (int i = 0; i + 1 < inputs[0].shape.rank(); ++i) shape.push_back(inputs[0].shape[i]);
  const std::int64_t rows = shape.count();
  std::int64_t channels = 0;
  for (const Array& input : inputs) channels += input.shape.count() / rows;
  shape.push_back(channels);
  Array y(shape);
  std::int64_t index = 0;
  for (std::int64_t row = 0; row < rows; ++row)
    for (const Array& input : inputs) {
      const std::int64_t own = input.shape.count() / rows;
      for (std::int64_t c = 0; c < own; ++c) y.at(index++) = input.at(row * own + c);
    }
  return y;
}

Arrays concat_backward(const Arrays& inputs, const Array& grad_y) {
  const std::int64_t rows = grad_y.shape.count() / grad_y.shape[grad_y.shape.rank() - 1];
  Arrays grads;
  for (const Array& input : inputs) grads.emplace_back(input.shape);
  std::int64_t index = 0;
  for (std::int64_t row = 0; row < rows; ++row)
    for (Array& grad : grads) {
      const std::int64_t own = grad.shape.count() / rows;
      for (std::int64_t c = 0; c < own; ++c) grad.at(row * own + c) = grad_y.at(index++);
    }
  return grads;
}

Array max_pool2d(const Array& x, const Pool2dParams& params) {
  Array y(pooled_shape(x.shape, params));
  for_each_window(y.shape, params, [&](auto i, auto n, auto c, auto h0, auto w0) {
    y.at(i) = x.at(window_maximum(x, n, c, h0, w0, params.kernel));
  });
  return y;
}

Array max_pool2d_backward(const Array& x, const Array& grad_y, const Pool2dParams& params) {
  Array grad_x(x.shape);
  for_each_window(grad_y.shape, params, [&](auto i, auto n, auto c, auto h0, auto w0) {
    grad_x.at(window_maximum(x, n, c, h0, w0, params.kernel)) += grad_y.at(i);
  });
  return grad_x;
}

std::vector<std::int32_t> max_pool2d_argmax(const Array& x, const Pool2dParams& params) {
  const Shape y = pooled_shape(x.shape, params);
  std::vector<std::int32_t> places(static_cast<std::size_t>(y.count()));
  for_each_window(y, params, [&](auto i, auto n, auto c, auto h0, auto w0) {
    const std::int64_t pixel = window_maximum(x, n, c, h0, w0, params.kernel) / x.shape[3];
    places[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(pixel - n * x.shape[1] * x.shape[2]);
  });
  return places;
}

Array avg_pool2d(const Array& x, const Pool2dParams& params) {
  Array y(pooled_shape(x.shape, params));
  for_each_window(y.shape, params, [&](auto i, auto n, auto c, auto h0, auto w0) {
    for (std::int64_t h = h0; h < h0 + params.kernel; ++h)
      for (std::int64_t w = w0; w < w0 + params.kernel; ++w)
        if (inside(x.shape, h, w)) y.at(i) += x.at(n, h, w, c) / (params.kernel * params.kernel);
  });
  return y;
}

Array global_avg_pool(const Array& x) {
  Array y(Shape{x.shape[0], x.shape[3]});
  const double pixels = static_cast<double>(x.shape[1] * x.shape[2]);
  for (std::int64_t n = 0; n < x.shape[0]; ++n)
    for (std::int64_t h = 0; h < x.shape[1]; ++h)
      for (std::int64_t w = 0; w < x.shape[2]; ++w)
        for (std::int64_t c = 0; c < x.shape[3]; ++c) y.at(n * x.shape[3] + c) += x.at(n, h, w, c) / pixels;
  return y;
}

Array zero_pad_shortcut(const Array& x, std::int64_t channels) {
  Array y(Shape{x.shape[0], (x.shape[1] + 1) / 2, (x.shape[2] + 1) / 2, channels});
  const std::int64_t before = (channels - x.shape[3]) / 2;
  for (std::int64_t n = 0; n < x.shape[0]; ++n)
    for (std::int64_t h = 0; h < x.shape[1]; h += 2)
      for (std::int64_t w = 0; w < x.shape[2]; w += 2)
        for (std::int64_t c = 0; c < x.shape[3]; ++c) y.at(n, h / 2, w / 2, before + c) = x.at(n, h, w, c);
  return y;
}

Array linear(const Arrays& inputs) {
  const Array &x = inputs[0], &weight = inputs[1];
  const std::int64_t in = weight.shape[1], out = weight.shape[0];
  Array y(Shape{x.shape[0], out});
  for (std::int64_t n = 0; n < x.shape[0]; ++n)
    for (std::int64_t k = 0; k < out; ++k) {
      if (inputs.size() > 2) y.at(n * out + k) = inputs[2].at(k);
      for (std::int64_t c = 0; c < in; ++c) y.at(n * out + k) += x.at(n * in + c) * weight.at(k * in + c);
    }
  return y;
}

Arrays linear_backward(const Arrays& inputs, const Array& grad_y) {
  const Array &x = inputs[0], &weight = inputs[1];
  const std::int64_t in = weight.shape[1], out = weight.shape[0];
  Arrays grads = {Array(x.shape), Array(weight.shape)};
  for (std::int64_t n = 0; n < x.shape[0]; ++n)
    for (std::int64_t k = 0; k < out; ++k)
      for (std::int64_t c = 0; c < in; ++c) {
        grads[0].at(n * in + c) += grad_y.at(n * out + k) * weight.at(k * in + c);
        grads[1].at(k * in + c) += grad_y.at(n * out + k) * x.at(n * in + c);
      }
  if (inputs.size() > 2) grads.push_back(column_sums(grad_y));
  return grads;
}

Array dropout(const Array& x, const DropoutParams& params, std::uint64_t seed, std::uint64_t step) {
  Array y = x;
  for (std::int64_t i = 0; i < x.shape.count(); ++i) {
    const PhiloxBlock block =
        philox(seed, RandomStream::kDropout, params.substream, (step << 32) + static_cast<std::uint64_t>(i) / 4);
    const bool dropped = uniform_float(block.word[i % 4]) < params.probability;
    y.at(i) = dropped ? 0 : x.at(i) / (1 - static_cast<double>(params.probability));
  }
  return y;
}

double cross_entropy_sum(const Array& logits, const std::vector<std::int32_t>& labels, double smoothing) {
  const std::int64_t classes = logits.shape[1];
  double sum = 0;
  for (std::int64_t n = 0; n < logits.shape[0]; ++n) {
    double largest = -std::numeric_limits<double>::infinity();
    for (std::int64_t k = 0; k < classes; ++k) largest = std::fmax(largest, logits.at(n * classes + k));
    double total = 0;
    for (std::int64_t k = 0; k < classes; ++k) total += std::exp(logits.at(n * classes + k) - largest);
    sum += (1 - smoothing) * (std::log(total) + largest - logits.at(n * classes + labels[static_cast<std::size_t>(n)]));
    for (std::int64_t k = 0; k < classes && smoothing > 0; ++k)
      sum += smoothing / static_cast<double>(classes) * (std::log(total) + largest - logits.at(n * classes + k));
  }
  return sum;
}

std::int64_t correct_count(const Array& logits, const std::vector<std::int32_t>& labels) {
  const std::int64_t classes = logits.shape[1];
  std::int64_t correct = 0;
  for (std::int64_t n = 0; n < logits.shape[0]; ++n) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < classes; ++k)
      if (logits.at(n * classes + k) > logits.at(n * classes + best)) best = k;
    correct += best == labels[static_cast<std::size_t>(n)];
  }
  return correct;
}

Array gather_images(const Array& images, double scale, const std::vector<std::int32_t>& order, std::int64_t count,
                    const GatherPlace& place, const GatherParams& params) {
  const Shape& shape = images.shape;
  Array x(Shape{count, shape[1], shape[2], shape[3]});
  const auto range = static_cast<std::uint32_t>(2 * params.padding + 1);
  for (std::int64_t n = 0; n < count; ++n) {
    const std::uint64_t position = place.position + static_cast<std::uint64_t>(n);
    const PhiloxBlock block =
        philox(place.seed, RandomStream::kAugmentation, static_cast<std::uint32_t>(place.epoch), position);
    std::int64_t dy = 0, dx = 0;
    bool flip = false;
    if (params.augment) {
      dy = static_cast<std::int64_t>(uniform_below(block.word[0], range)) - params.padding;
      dx = static_cast<std::int64_t>(uniform_below(block.word[1], range)) - params.padding;
      flip = params.flip && (block.word[2] & 1);
    }
    const PhiloxBlock square =
        philox(place.seed, RandomStream::kCutout, static_cast<std::uint32_t>(place.epoch), position);
    const std::int64_t top =
        std::int64_t{uniform_below(square.word[0], static_cast<std::uint32_t>(shape[1]))} - params.cutout / 2;
    const std::int64_t left =
        std::int64_t{uniform_below(square.word[1], static_cast<std::uint32_t>(shape[2]))} - params.cutout / 2;
    const std::int64_t image = order[static_cast<std::size_t>(position)];
    for (std::int64_t h = 0; h < shape[1]; ++h)
      for (std::int64_t w = 0; w < shape[2]; ++w)
        for (std::int64_t c = 0; c < shape[3]; ++c) {
          const std::int64_t row = h + dy, column = (flip ? shape[2] - 1 - w : w) + dx;
          double pixel = 0;  // around the image all is black
          if (inside(shape, row, column)) pixel = images.at(image, row, column, c);
          const auto channel = static_cast<std::size_t>(c);
          x.at(n, h, w, c) = (pixel / scale - static_cast<double>(params.mean[channel])) *
                             static_cast<double>(params.inverse_std[channel]);
          if (h >= top && h < top + params.cutout && w >= left && w < left + params.cutout) x.at(n, h, w, c) = 0;
        }
  }
  return x;
}

}  // namespace gradamp::reference
