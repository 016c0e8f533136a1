// SPDX-License-Identifier: MIT
#include "gradamp/bench/convolution_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "gradamp/core/f16.h"
#include "gradamp/core/philox.h"

namespace gradamp::bench {
namespace {

/// Computes single elements by plain loops in float64.
class PlainLoops {
 public:
  PlainLoops(const ConvolutionShape& shape, std::vector<float> x, std::vector<float> weight, std::vector<float> y)
      : shape_(shape), x_(std::move(x)), weight_(std::move(weight)), y_(std::move(y)) {}

  /// Element `index` of the pass's result.
  double element(ConvolutionPass pass, std::int64_t index) const {
    switch (pass) {
      case ConvolutionPass::kForward: return forward(index);
      case ConvolutionPass::kBackwardInput: return backward_input(index);
      case ConvolutionPass::kBackwardFilter: return backward_filter(index);
    }
    return NAN;
  }

 private:
  std::int64_t stride() const { return shape_.params.stride; }
  std::int64_t padding() const { return shape_.params.padding; }
  /// The channels of pixel (h, w) of image n; nullptr outside the image.
  const float* x_at(std::int64_t n, std::int64_t h, std::int64_t w) const {
    if (h < 0 || w < 0 || h >= shape_.size || w >= shape_.size) return nullptr;
    return x_.data() + ((n * shape_.size + h) * shape_.size + w) * shape_.in_channels;
  }
  const float* y_at(std::int64_t n, std::int64_t p, std::int64_t q) const {
    const std::int64_t size = shape_.out_size();
    return y_.data() + ((n * size + p) * size + q) * shape_.out_channels;
  }
  const float* weight_at(std::int64_t k, std::int64_t r, std::int64_t s) const {
    return weight_.data() + ((k * shape_.kernel + r) * shape_.kernel + s) * shape_.in_channels;
  }

  double forward(std::int64_t index) const {
    const std::int64_t k = index % shape_.out_channels, pixel = index / shape_.out_channels, size = shape_.out_size();
    const std::int64_t n = pixel / (size * size), p = pixel / size % size, q = pixel % size;
    double sum = 0;
    for (std::int64_t r = 0; r < shape_.kernel; ++r) {
      for (std::int64_t s = 0; s < shape_.kernel; ++s) {
        const float* x = x_at(n, p * stride() + r - padding(), q * stride() + s - padding());
        const float* weight = weight_at(k, r, s);
        for (std::int64_t c = 0; x && c < shape_.in_channels; ++c) sum += double{x[c]} * double{weight[c]};
      }
    }
    return sum;
  }

  double backward_input(std::int64_t index) const {
    const std::int64_t c = index % shape_.in_channels, pixel = index / shape_.in_channels;
    const std::int64_t n = pixel / (shape_.size * shape_.size), h = pixel / shape_.size % shape_.size;
    const std::int64_t w = pixel % shape_.size;
    double sum = 0;
    for (std::int64_t r = 0; r < shape_.kernel; ++r) {
      for (std::int64_t s = 0; s < shape_.kernel; ++s) {
        const std::int64_t up = h + padding() - r, left = w + padding() - s;  // stride * pixel of y
        if (up < 0 || left < 0 || up % stride() != 0 || left % stride() != 0) continue;
        if (up / stride() >= shape_.out_size() || left / stride() >= shape_.out_size()) continue;
        const float* y = y_at(n, up / stride(), left / stride());
        for (std::int64_t k = 0; k < shape_.out_channels; ++k) sum += double{y[k]} * double{weight_at(k, r, s)[c]};
      }
    }
    return sum;
  }

  double backward_filter(std::int64_t index) const {
    const std::int64_t c = index % shape_.in_channels, s = index / shape_.in_channels % shape_.kernel;
    const std::int64_t r = index / shape_.in_channels / shape_.kernel % shape_.kernel;
    const std::int64_t k = index / shape_.in_channels / shape_.kernel / shape_.kernel;
    double sum = 0;
    for (std::int64_t n = 0; n < shape_.batch; ++n) {
      for (std::int64_t p = 0; p < shape_.out_size(); ++p) {
        for (std::int64_t q = 0; q < shape_.out_size(); ++q) {
          const float* x = x_at(n, p * stride() + r - padding(), q * stride() + s - padding());
          if (x) sum += double{x[c]} * double{y_at(n, p, q)[k]};
        }
      }
    }
    return sum;
  }

  ConvolutionShape shape_;
  std::vector<float> x_, weight_, y_;
};

}  // namespace

ConvolutionCase::ConvolutionCase(Backend& backend, const ConvolutionShape& shape, ConvolutionPass pass,
                                 DType filter_gradient, ConvolutionExtra extra, const TimingOptions& timing)
    : backend_(backend),
      shape_(shape),
      pass_(pass),
      extra_(extra),
      f16_(extra == ConvolutionExtra::kStatistics && backend.activation_dtype() == DType::kBF16) {
  const DType type = backend_.activation_dtype();
  const DType weight_type = pass == ConvolutionPass::kBackwardFilter ? filter_gradient : type;
  const double element = static_cast<double>(size_of(type));
  bytes_ = element * static_cast<double>(shape.x().count() + shape.y().count()) +
           static_cast<double>(size_of(weight_type)) * static_cast<double>(shape.weight().count());
  const int sets = buffer_sets(bytes_, timing);
  for (int i = 0; i < sets; ++i) sets_.push_back(make_set(static_cast<std::uint32_t>(3 * i), weight_type));
}

ConvolutionSet ConvolutionCase::make_set(std::uint32_t substream, DType weight_type) const {
  const DType type = backend_.activation_dtype();
  ConvolutionSet set{make_input(shape_.x(), type, substream),
                     make_input(shape_.weight(), weight_type, substream + 1),
                     make_input(shape_.y(), type, substream + 2),
                     {},
                     {},
                     {}};
  if (extra_ == ConvolutionExtra::kMoments) {
    set.moments = backend_.make_moments({set.x, set.weight, Tensor(), set.y, {}}, shape_.params);
    if (!set.moments.values.defined()) throw LeftOut("the device takes no moments in its convolutions");
  }
  if (extra_ == ConvolutionExtra::kStatistics) {
    set.sums = Tensor::empty(backend_, {shape_.out_channels});
    set.square_sums = Tensor::empty(backend_, {shape_.out_channels});
  }
  return set;
}

/// fp16 inputs are multiples of 1/128, which are exact.
Tensor ConvolutionCase::make_input(const Shape& shape, DType type, std::uint32_t substream) const {
  if (!f16_) return random_tensor(backend_, shape, type, substream);
  std::vector<std::uint16_t> bits;
  for (const float value : random_values(shape.count(), substream))
    bits.push_back(to_f16(std::trunc(value * 128) / 128));
  const Tensor tensor = Tensor::empty(backend_, shape, DType::kBF16);
  tensor.copy_bytes_from_host(std::as_bytes(std::span(bits)));
  return tensor;
}

std::vector<float> ConvolutionCase::values_of(const Tensor& tensor) const {
  if (!f16_ || tensor.dtype() != DType::kBF16) return host_values(tensor);
  std::vector<std::uint16_t> bits(static_cast<std::size_t>(tensor.count()));
  tensor.copy_bytes_to_host(std::as_writable_bytes(std::span(bits)));
  std::vector<float> values(bits.size());
  std::transform(bits.begin(), bits.end(), values.begin(), from_f16);
  return values;
}

std::vector<ConvolutionBuffers> ConvolutionCase::buffers() const {
  std::vector<ConvolutionBuffers> buffers;
  for (const ConvolutionSet& set : sets_) {
    buffers.push_back({set.x.raw_data(), set.weight.raw_data(), set.y.raw_data()});
    if (extra_ != ConvolutionExtra::kStatistics) continue;
    buffers.back().sums = set.sums.raw_data();
    buffers.back().square_sums = set.square_sums.raw_data();
  }
  return buffers;
}

void ConvolutionCase::call(int number) const {
  const ConvolutionSet& set = sets_[static_cast<std::size_t>(number)];
  switch (pass_) {
    case ConvolutionPass::kForward:
      backend_.conv2d_forward({set.x, set.weight, Tensor(), set.y, set.moments}, shape_.params);
      break;
    case ConvolutionPass::kBackwardInput:
      backend_.conv2d_backward_input({set.y, set.weight, set.x}, shape_.params);
      break;
    case ConvolutionPass::kBackwardFilter:
      backend_.conv2d_backward_filter(set.x, set.y, shape_.params, set.weight);
      break;
  }
}

const Tensor& ConvolutionCase::result_of(const ConvolutionSet& set) const {
  if (pass_ == ConvolutionPass::kForward) return set.y;
  return pass_ == ConvolutionPass::kBackwardInput ? set.x : set.weight;
}

void ConvolutionCase::verify(const std::function<void()>& compute, double tolerance) const {
  const ConvolutionSet& set = sets_.front();
  const Tensor& result = result_of(set);
  const PlainLoops loops(shape_, values_of(set.x), values_of(set.weight), values_of(set.y));
  for (const Tensor& written : {result, set.moments.values, set.sums, set.square_sums})
    if (written.defined()) poison(written);
  backend_.synchronize();  // the library uses another stream
  compute();
  const std::vector<float> values = values_of(result);
  check_written(shape_.name(), values);
  PhiloxSequence random(7, RandomStream::kTest, 0);
  std::vector<double> actual, expected;
  for (int i = 0; i < 200; ++i) {
    const std::int64_t at = random.below(static_cast<std::uint32_t>(result.count()));
    actual.push_back(double{values[static_cast<std::size_t>(at)]});
    expected.push_back(loops.element(pass_, at));
  }
  check_agrees(shape_.name(), actual, expected, tolerance);
  if (extra_ == ConvolutionExtra::kMoments) verify_moments(values, tolerance);
  if (extra_ == ConvolutionExtra::kStatistics) verify_statistics(values, tolerance);
}

/// Compares the mean and the sum of squared deviations over all groups with those of the y that was written. (Which
/// pixels are a group is the backend's choice.)
void ConvolutionCase::verify_moments(const std::vector<float>& y, double tolerance) const {
  const ChannelMoments& moments = sets_.front().moments;
  const std::int64_t channels = shape_.out_channels, pixels = shape_.y().count() / channels;
  const std::vector<float> values = host_values(moments.values);
  const auto moment = [&](std::int64_t group, std::int64_t kind, std::int64_t c) {
    return double{values[static_cast<std::size_t>((2 * group + kind) * channels + c)]};
  };
  std::vector<double> actual, expected;
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0, group_sum = 0, group_squares = 0;
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      const double value = y[static_cast<std::size_t>(pixel * channels + c)];
      sum += value;
      squares += value * value;
    }
    for (std::int64_t first = 0, group = 0; first < pixels; first += moments.rows, ++group) {
      const double rows = static_cast<double>(std::min(moments.rows, pixels - first)), mean = moment(group, 0, c);
      group_sum += rows * mean;
      group_squares += moment(group, 1, c) + rows * mean * mean;
    }
    actual.insert(actual.end(), {group_sum, group_squares});
    expected.insert(expected.end(), {sum, squares});
  }
  check_agrees("moments", actual, expected, tolerance);
}

/// The terms of a sum over a channel cancel, so its rounding error is that of the terms. The sums are therefore
/// compared relative to the root of (number of terms) x (sum of squares), which bounds them.
void ConvolutionCase::verify_statistics(const std::vector<float>& y, double tolerance) const {
  const std::vector<float> sums = host_values(sets_.front().sums);
  const std::vector<float> square_sums = host_values(sets_.front().square_sums);
  const auto channels = static_cast<std::size_t>(shape_.out_channels);
  const double pixels = static_cast<double>(y.size() / channels);
  std::vector<double> actual, expected;
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = c; i < y.size(); i += channels) {
      sum += double{y[i]};
      squares += double{y[i]} * double{y[i]};
    }
    const double bound = std::sqrt(pixels * squares);
    check(std::abs(double{sums[c]} - sum) <= tolerance * bound, "sum of channel {}: {}, expected {}", c, sums[c], sum);
    actual.push_back(double{square_sums[c]});
    expected.push_back(squares);
  }
  check_agrees("sums of squares", actual, expected, tolerance);
}

}  // namespace gradamp::bench
