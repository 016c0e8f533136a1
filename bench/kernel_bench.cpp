// SPDX-License-Identifier: MIT
// The non-convolution kernels, at the shapes of ResNet-18's stages and of ResNet-50's widest layer. The result is the
// rate of their minimum memory traffic in GB/s, and the measured ceiling of a copy. Each kernel is verified against
// float64 before it is timed.
//
// The minimum traffic is every input once and every output once. Inputs that a kernel must read completely before it
// can use them count twice: a batch norm without moments reads x for its statistics and again to apply them, and its
// backward reads all its inputs for the sums and again for the gradients.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/cuda_library.h"
#include "gradamp/core/philox.h"

namespace gradamp::bench {
namespace {

/// A kernel on one shape.
struct Kernel {
  std::function<void(int set)> call;
  /// Error if the result of call(0) is wrong.
  std::function<void()> verify;
};

/// The tensors of each set of buffers.
using Sets = std::vector<std::vector<Tensor>>;

Sets random_sets(const Bench& bench, int sets, const std::vector<Shape>& shapes) {
  Sets all;
  std::uint32_t stream = 0;
  for (int i = 0; i < sets; ++i) {
    all.emplace_back();
    for (const Shape& shape : shapes)
      all.back().push_back(random_tensor(bench.backend(), shape, bench.backend().activation_dtype(), stream++));
  }
  return all;
}

const std::vector<Tensor>& at(const std::shared_ptr<Sets>& sets, int set) {
  return (*sets)[static_cast<std::size_t>(set)];
}

/// Randomly drawn indices below `count`.
std::vector<std::int64_t> sampled_indices(std::int64_t count) {
  std::vector<std::int64_t> indices;
  PhiloxSequence random(11, RandomStream::kTest, 0);
  for (int i = 0; i < 1000; ++i) indices.push_back(random.below(static_cast<std::uint32_t>(count)));
  return indices;
}

/// Runs `compute` and compares `result` with `expected` at randomly drawn indices.
void verify_at_indices(const char* what, const Tensor& result, const std::function<void()>& compute,
                       const std::function<double(std::int64_t index)>& expected) {
  poison(result);
  compute();
  const std::vector<float> values = host_values(result);
  check_written(what, values);
  std::vector<double> actual, expected_values;
  for (const std::int64_t index : sampled_indices(result.count())) {
    actual.push_back(double{values[static_cast<std::size_t>(index)]});
    expected_values.push_back(expected(index));
  }
  check_agrees(what, actual, expected_values, rounding_of(result.dtype()));
}

/// A kernel whose inputs and result all have x's shape: result = formula(inputs at the same index).
template <std::size_t kInputs, typename Call>
Kernel elementwise(const Bench& bench, const Shape& shape, int sets, Call call,
                   std::function<double(const std::array<double, kInputs>& values)> formula) {
  const auto all = std::make_shared<Sets>(random_sets(bench, sets, std::vector<Shape>(kInputs + 1, shape)));
  Kernel kernel;
  kernel.call = [all, call](int set) { call(at(all, set)); };
  kernel.verify = [all, call, formula] {
    const std::vector<Tensor>& tensors = at(all, 0);
    std::array<std::vector<float>, kInputs> inputs;
    for (std::size_t i = 0; i < kInputs; ++i) inputs[i] = host_values(tensors[i]);
    verify_at_indices(
        "elementwise", tensors[kInputs], [&] { call(tensors); },
        [&](std::int64_t index) {
          std::array<double, kInputs> values;
          for (std::size_t i = 0; i < kInputs; ++i) values[i] = inputs[i][static_cast<std::size_t>(index)];
          return formula(values);
        });
  };
  return kernel;
}

Kernel make_relu(const Bench& bench, const Shape& shape, int sets) {
  return elementwise<1>(
      bench, shape, sets, [&bench](const std::vector<Tensor>& t) { bench.backend().relu_forward(t[0], t[1]); },
      [](const auto& x) { return std::max(x[0], 0.0); });
}

Kernel make_relu_backward(const Bench& bench, const Shape& shape, int sets) {
  return elementwise<2>(
      bench, shape, sets, [&bench](const std::vector<Tensor>& t) { bench.backend().relu_backward(t[0], t[1], t[2]); },
      [](const auto& x) { return x[1] > 0 ? x[0] : 0.0; });
}

Kernel make_add(const Bench& bench, const Shape& shape, int sets) {
  return elementwise<2>(
      bench, shape, sets, [&bench](const std::vector<Tensor>& t) { bench.backend().add(t[0], t[1], t[2]); },
      [](const auto& x) { return x[0] + x[1]; });
}

Kernel make_mul(const Bench& bench, const Shape& shape, int sets) {
  return elementwise<2>(
      bench, shape, sets, [&bench](const std::vector<Tensor>& t) { bench.backend().mul(t[0], t[1], t[2]); },
      [](const auto& x) { return x[0] * x[1]; });
}

Kernel make_sigmoid(const Bench& bench, const Shape& shape, int sets) {
  return elementwise<1>(
      bench, shape, sets,
      [&bench](const std::vector<Tensor>& t) { bench.backend().unary_forward(UnaryFunction::kSigmoid, t[0], t[1]); },
      [](const auto& x) { return 1 / (1 + std::exp(-x[0])); });
}

Kernel make_sigmoid_backward(const Bench& bench, const Shape& shape, int sets) {
  return elementwise<2>(
      bench, shape, sets,
      [&bench](const std::vector<Tensor>& t) {
        bench.backend().unary_backward(UnaryFunction::kSigmoid, t[0], t[1], t[2]);
      },
      [](const auto& x) {
        const double y = 1 / (1 + std::exp(-x[1]));
        return x[0] * y * (1 - y);
      });
}

/// Over the channels of each pixel.
Kernel make_softmax(const Bench& bench, const Shape& shape, int sets) {
  const auto all = std::make_shared<Sets>(random_sets(bench, sets, {shape, shape}));
  Kernel kernel;
  kernel.call = [&bench, all](int set) { bench.backend().softmax_forward(at(all, set)[0], at(all, set)[1]); };
  kernel.verify = [all, call = kernel.call] {
    const std::vector<float> x = host_values(at(all, 0)[0]);
    const std::int64_t channels = at(all, 0)[0].shape()[3];
    verify_at_indices(
        "softmax", at(all, 0)[1], [&] { call(0); },
        [&](std::int64_t index) {
          const auto power = [&](std::int64_t i) { return std::exp(double{x[static_cast<std::size_t>(i)]}); };
          double total = 0;
          for (std::int64_t c = 0; c < channels; ++c) total += power(index / channels * channels + c);
          return power(index) / total;
        });
  };
  return kernel;
}

/// The second half of a concatenation of two: the stride of its target is twice that of its source.
Kernel make_copy_channels(const Bench& bench, const Shape& shape, int sets) {
  const std::int64_t channels = shape[3];
  const auto all =
      std::make_shared<Sets>(random_sets(bench, sets, {shape, {shape[0], shape[1], shape[2], 2 * channels}}));
  Kernel kernel;
  kernel.call = [&bench, all, channels](int set) {
    bench.backend().copy_channels(at(all, set)[0], 0, at(all, set)[1], channels, channels);
  };
  kernel.verify = [all, channels, call = kernel.call] {
    const Tensor &from = at(all, 0)[0], &to = at(all, 0)[1];
    std::vector<float> expected = host_values(to);
    const std::vector<float> part = host_values(from);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const std::size_t width = static_cast<std::size_t>(channels), row = i / width;
      expected[(2 * row + 1) * width + i % width] = part[i];
    }
    call(0);
    check(host_values(to) == expected, "copy_channels: other elements than expected");
  };
  return kernel;
}

Kernel make_scale(const Bench& bench, const Shape& shape, int sets) {
  const Tensor half = Tensor::from_host(bench.backend(), {1}, std::vector<float>{0.5f});
  return elementwise<1>(
      bench, shape, sets, [&bench, half](const std::vector<Tensor>& t) { bench.backend().scale(t[0], half, 0, t[1]); },
      [](const auto& x) { return 0.5 * x[0]; });
}

// ---- Batch norm ----

/// The tensors of a batch norm whose size depends on the channels alone.
struct Channels {
  Tensor gamma, beta, running_mean, running_var, mean, inverse_std, grad_gamma, grad_beta;
};

Channels make_channels(Backend& backend, std::int64_t count) {
  std::vector<float> gamma = random_values(count, 100);
  for (float& value : gamma) value += 2;  // away from zero
  const std::vector<float> ones(static_cast<std::size_t>(count), 1.0f);
  return {Tensor::from_host(backend, {count}, gamma),
          random_tensor(backend, {count}, DType::kF32, 101),
          random_tensor(backend, {count}, DType::kF32, 102),
          Tensor::from_host(backend, {count}, ones),
          Tensor::empty(backend, {count}),
          Tensor::empty(backend, {count}),
          Tensor::empty(backend, {count}),
          Tensor::empty(backend, {count})};
}

/// Moments as a 1x1 convolution computes them (core/backend.h), but computed on the host; undefined if the device's
/// convolutions compute none.
ChannelMoments host_moments(Backend& backend, const Tensor& x) {
  const std::int64_t inputs = x.shape()[3];
  const Tensor filter = Tensor::empty(backend, {inputs, 1, 1, inputs}, x.dtype());
  ChannelMoments moments = backend.make_moments({.x = x, .weight = filter, .bias = {}, .y = x, .moments = {}}, {});
  if (!moments.values.defined()) return moments;
  const std::int64_t channels = x.shape()[3], rows = x.count() / channels, groups = moments.values.shape()[0];
  const std::vector<float> values = host_values(x);
  std::vector<float> result(static_cast<std::size_t>(moments.values.count()));
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int64_t first = group * moments.rows, last = std::min(rows, first + moments.rows);
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0, squares = 0;
      for (std::int64_t row = first; row < last; ++row) {
        const double value = values[static_cast<std::size_t>(row * channels + c)];
        sum += value;
        squares += value * value;
      }
      const auto index = static_cast<std::size_t>(group * 2 * channels + c);
      const double mean = sum / static_cast<double>(last - first);
      result[index] = static_cast<float>(mean);
      result[index + static_cast<std::size_t>(channels)] = static_cast<float>(squares - sum * mean);
    }
  }
  moments.values.copy_from_host(std::span<const float>(result));
  return moments;
}

/// One channel of a tensor (..., C).
std::vector<double> channel_of(const Tensor& tensor, std::int64_t channel) {
  const std::vector<float> values = host_values(tensor);
  const auto channels = static_cast<std::size_t>(tensor.shape()[3]);
  std::vector<double> result;
  for (std::size_t i = static_cast<std::size_t>(channel); i < values.size(); i += channels)
    result.push_back(double{values[i]});
  return result;
}

/// x of one channel, its normalized values and 1 / standard deviation.
struct Normalized {
  std::vector<double> values;
  double inverse_std = 0;
};

Normalized normalize(const std::vector<double>& x, double epsilon) {
  double mean = 0, variance = 0;
  for (const double value : x) mean += value / static_cast<double>(x.size());
  for (const double value : x) variance += (value - mean) * (value - mean) / static_cast<double>(x.size());
  Normalized result{x, 1 / std::sqrt(variance + epsilon)};
  for (double& value : result.values) value = (value - mean) * result.inverse_std;
  return result;
}

/// The variant of a batch norm: what follows the normalization, and the source of its statistics.
struct BatchNormKind {
  bool residual = false, relu = true, moments = false, evaluation = false;
};

BatchNormParams params_of(const BatchNormKind& kind) {
  BatchNormParams params;
  params.relu = kind.relu;
  return params;
}

/// Tensors of a set: x, y and, if there is one, the residual.
BatchNormForward forward_tensors(const std::vector<Tensor>& t, const Channels& channels, const BatchNormKind& kind,
                                 const ChannelMoments& moments) {
  return {t[0],
          moments,
          kind.residual ? t[2] : Tensor(),
          channels.gamma,
          channels.beta,
          channels.running_mean,
          channels.running_var,
          t[1],
          channels.mean,
          channels.inverse_std,
          {}};
}

/// Verifies the first and the last channel against float64.
void verify_batch_norm(const std::vector<Tensor>& t, const Channels& channels, const BatchNormKind& kind,
                       const std::function<void()>& compute) {
  const std::int64_t count = channels.gamma.count();
  const std::vector<float> gamma = channels.gamma.to_host<float>(), beta = channels.beta.to_host<float>();
  const std::vector<float> means = channels.running_mean.to_host<float>();
  poison(t[1]);
  compute();
  check_written("batch norm", host_values(t[1]));
  for (const std::int64_t c : {std::int64_t{0}, count - 1}) {
    const auto at_c = static_cast<std::size_t>(c);
    std::vector<double> expected = channel_of(t[0], c);
    if (kind.evaluation) {
      for (double& value : expected) value = (value - double{means[at_c]}) / std::sqrt(1 + 1e-5);
    } else {
      expected = normalize(expected, 1e-5).values;
    }
    const std::vector<double> residual = kind.residual ? channel_of(t[2], c) : std::vector<double>();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = gamma[at_c] * expected[i] + beta[at_c] + (kind.residual ? residual[i] : 0.0);
      if (kind.relu) expected[i] = std::max(expected[i], 0.0);
    }
    check_agrees("batch norm", channel_of(t[1], c), expected, rounding_of(t[1].dtype()));
  }
}

Kernel make_batch_norm(const Bench& bench, const Shape& shape, int sets, const BatchNormKind& kind) {
  Backend& backend = bench.backend();
  const auto all = std::make_shared<Sets>(random_sets(bench, sets, std::vector<Shape>(kind.residual ? 3 : 2, shape)));
  const Channels channels = make_channels(backend, shape[3]);
  std::vector<ChannelMoments> moments(static_cast<std::size_t>(sets));
  if (kind.moments) {
    for (int i = 0; i < sets; ++i) moments[static_cast<std::size_t>(i)] = host_moments(backend, at(all, i)[0]);
    if (!moments.front().values.defined()) throw LeftOut("the device takes no moments in its convolutions");
  }
  Kernel kernel;
  kernel.call = [&backend, all, channels, kind, moments](int set) {
    const BatchNormForward tensors =
        forward_tensors(at(all, set), channels, kind, moments[static_cast<std::size_t>(set)]);
    if (kind.evaluation) return backend.batch_norm_forward_evaluation(tensors, params_of(kind));
    backend.batch_norm_forward_training(tensors, params_of(kind));
  };
  kernel.verify = [all, channels, kind, call = kernel.call] {
    verify_batch_norm(at(all, 0), channels, kind, [&] { call(0); });
  };
  return kernel;
}

/// Tensors of a set: x, y, grad_y, grad_x, and with a residual its gradient.
BatchNormBackward backward_tensors(const std::vector<Tensor>& t, const Channels& channels, const BatchNormKind& kind) {
  return {t[2],
          t[0],
          channels.gamma,
          channels.beta,
          channels.mean,
          channels.inverse_std,
          kind.residual ? t[1] : Tensor(),
          t[3],
          channels.grad_gamma,
          channels.grad_beta,
          kind.residual ? t[4] : Tensor(),
          {}};
}

void verify_batch_norm_backward(const std::vector<Tensor>& t, const Channels& channels, const BatchNormKind& kind,
                                const std::function<void()>& compute) {
  poison(t[3]);
  compute();
  check_written("batch norm backward", host_values(t[3]));
  const std::vector<float> gammas = channels.gamma.to_host<float>(), betas = channels.beta.to_host<float>();
  const std::vector<float> grad_gamma = channels.grad_gamma.to_host<float>();
  const std::vector<float> grad_beta = channels.grad_beta.to_host<float>();
  for (const std::int64_t c : {std::int64_t{0}, channels.gamma.count() - 1}) {
    const auto at_c = static_cast<std::size_t>(c);
    const double gamma = gammas[at_c], beta = betas[at_c];
    const Normalized x = normalize(channel_of(t[0], c), 1e-5);
    std::vector<double> grad = channel_of(t[2], c);
    const std::vector<double> y = channel_of(t[1], c);
    double sum = 0, product = 0;
    for (std::size_t i = 0; i < grad.size(); ++i) {
      const bool passes = kind.residual ? y[i] > 0 : gamma * x.values[i] + beta > 0;
      if (!passes) grad[i] = 0;
      sum += grad[i];
      product += grad[i] * x.values[i];
    }
    const double rows = static_cast<double>(grad.size());
    std::vector<double> actual = channel_of(t[3], c), expected(grad.size());
    for (std::size_t i = 0; i < grad.size(); ++i) {
      expected[i] = gamma * x.inverse_std * (grad[i] - sum / rows - x.values[i] * product / rows);
      // This close to zero, rounding decides whether the ReLU passes the gradient.
      if (!kind.residual && std::abs(gamma * x.values[i] + beta) < 1e-4) actual[i] = expected[i];
    }
    check_agrees("batch norm backward", actual, expected, std::max(1e-4, rounding_of(t[3].dtype())));
    if (kind.residual) check_agrees("gradient of the residual", channel_of(t[4], c), grad, 1e-6);
    // Positive and negative terms nearly cancel: the rounding error is relative to the terms, not to the sum.
    const double error = std::hypot(double{grad_gamma[at_c]} - product, double{grad_beta[at_c]} - sum);
    check(error <= 1e-4 * rows, "batch norm backward: sums {} and {}, expected {} and {}", grad_gamma[at_c],
          grad_beta[at_c], product, sum);
  }
}

Kernel make_batch_norm_backward(const Bench& bench, const Shape& shape, int sets, const BatchNormKind& kind) {
  Backend& backend = bench.backend();
  const auto all = std::make_shared<Sets>(random_sets(bench, sets, std::vector<Shape>(5, shape)));
  const Channels channels = make_channels(backend, shape[3]);
  // The loop ends with the first set, so `channels` has the first set's statistics, which verify() needs together with
  // its y. The residual's memory is later overwritten by its gradient.
  for (int i = sets - 1; i >= 0; --i) {
    const std::vector<Tensor>& t = at(all, i);
    BatchNormForward forward = forward_tensors({t[0], t[1], t[4]}, channels, kind, {});
    backend.batch_norm_forward_training(forward, params_of(kind));
  }
  Kernel kernel;
  kernel.call = [&backend, all, channels, kind](int set) {
    backend.batch_norm_backward(backward_tensors(at(all, set), channels, kind), params_of(kind));
  };
  kernel.verify = [all, channels, kind, call = kernel.call] {
    verify_batch_norm_backward(at(all, 0), channels, kind, [&] { call(0); });
  };
  return kernel;
}

// ---- Pooling ----

Shape halved(const Shape& x) { return {x[0], x[1] / 2, x[2] / 2, x[3]}; }

/// The first index in x of the 2x2 window of an element of the pooling's result.
std::int64_t window_of(const Shape& x, std::int64_t index) {
  const std::int64_t c = index % x[3], q = index / x[3] % (x[2] / 2);
  const std::int64_t p = index / x[3] / (x[2] / 2) % (x[1] / 2), n = index / x[3] / (x[2] / 2) / (x[1] / 2);
  return ((n * x[1] + 2 * p) * x[2] + 2 * q) * x[3] + c;
}

/// Tensors of a set: x, y, grad_y, grad_x, argmax.
Kernel make_max_pool(const Bench& bench, const Shape& shape, int sets, bool backward) {
  Backend& backend = bench.backend();
  const auto all = std::make_shared<Sets>(random_sets(bench, sets, {shape, halved(shape), halved(shape), shape}));
  std::vector<Tensor> argmax;
  for (int i = 0; i < sets; ++i) {
    argmax.push_back(Tensor::empty(backend, halved(shape), DType::kI32));
    backend.max_pool2d_forward(at(all, i)[0], {}, at(all, i)[1], argmax.back());
  }
  Kernel kernel;
  kernel.call = [&backend, all, argmax, backward](int set) {
    const std::vector<Tensor>& t = at(all, set);
    const Tensor& indices = argmax[static_cast<std::size_t>(set)];
    if (backward) return backend.max_pool2d_backward(t[2], indices, {}, t[3]);
    backend.max_pool2d_forward(t[0], {}, t[1], indices);
  };
  kernel.verify = [all, shape, backward, call = kernel.call] {
    const std::vector<Tensor>& t = at(all, 0);
    const std::vector<float> x = host_values(t[0]), grad_y = host_values(t[2]);
    const std::int64_t row = shape[2] * shape[3];
    const auto largest = [&](std::int64_t index) {
      const std::int64_t first = window_of(shape, index);
      std::int64_t best = first;
      for (const std::int64_t other : {first + shape[3], first + row, first + row + shape[3]})
        if (x[static_cast<std::size_t>(other)] > x[static_cast<std::size_t>(best)]) best = other;
      return best;
    };
    if (!backward) {
      return verify_at_indices(
          "max pool", t[1], [&] { call(0); },
          [&](std::int64_t index) { return double{x[static_cast<std::size_t>(largest(index))]}; });
    }
    verify_at_indices(
        "max pool backward", t[3], [&] { call(0); },
        [&](std::int64_t index) {
          const std::int64_t c = index % shape[3], w = index / shape[3] % shape[2], h = index / row % shape[1];
          const std::int64_t n = index / row / shape[1];
          const std::int64_t window = ((n * (shape[1] / 2) + h / 2) * (shape[2] / 2) + w / 2) * shape[3] + c;
          return largest(window) == index ? double{grad_y[static_cast<std::size_t>(window)]} : 0.0;
        });
  };
  return kernel;
}

/// Tensors of a set: x, y.
Kernel make_avg_pool(const Bench& bench, const Shape& shape, int sets) {
  Backend& backend = bench.backend();
  const auto all = std::make_shared<Sets>(random_sets(bench, sets, {shape, halved(shape)}));
  Kernel kernel;
  kernel.call = [&backend, all](int set) { backend.avg_pool2d_forward(at(all, set)[0], {}, at(all, set)[1]); };
  kernel.verify = [all, shape, call = kernel.call] {
    const std::vector<float> x = host_values(at(all, 0)[0]);
    verify_at_indices(
        "average pool", at(all, 0)[1], [&] { call(0); },
        [&](std::int64_t index) {
          const auto first = static_cast<std::size_t>(window_of(shape, index));
          const auto row = static_cast<std::size_t>(shape[2] * shape[3]), next = static_cast<std::size_t>(shape[3]);
          return (double{x[first]} + x[first + next] + x[first + row] + x[first + row + next]) / 4;
        });
  };
  return kernel;
}

/// Tensors of a set: x, y (N, C).
Kernel make_global_avg_pool(const Bench& bench, const Shape& shape, int sets, bool backward) {
  Backend& backend = bench.backend();
  const auto all = std::make_shared<Sets>(random_sets(bench, sets, {shape, {shape[0], shape[3]}}));
  Kernel kernel;
  kernel.call = [&backend, all, backward](int set) {
    const std::vector<Tensor>& t = at(all, set);
    if (backward) return backend.global_avg_pool_backward(t[1], t[0]);
    backend.global_avg_pool_forward(t[0], t[1]);
  };
  kernel.verify = [all, shape, backward, call = kernel.call] {
    const std::vector<Tensor>& t = at(all, 0);
    const std::vector<float> x = host_values(t[0]), y = host_values(t[1]);
    const std::int64_t pixels = shape[1] * shape[2], channels = shape[3];
    if (backward) {
      return verify_at_indices(
          "global average pool backward", t[0], [&] { call(0); },
          [&](std::int64_t index) {
            const std::int64_t image = index / channels / pixels;
            return y[static_cast<std::size_t>(image * channels + index % channels)] / static_cast<double>(pixels);
          });
    }
    verify_at_indices(
        "global average pool", t[1], [&] { call(0); },
        [&](std::int64_t index) {
          double sum = 0;
          for (std::int64_t pixel = 0; pixel < pixels; ++pixel)
            sum += x[static_cast<std::size_t>((index / channels * pixels + pixel) * channels + index % channels)];
          return sum / static_cast<double>(pixels);
        });
  };
  return kernel;
}

// ---- The batch and the loss ----

StepState make_state(Backend& backend) {
  return {Tensor::zeros(backend, {kStepCounterCount}, DType::kI64),
          Tensor::zeros(backend, {kStepMetricCount}, DType::kF64),
          Tensor::from_host(backend, {1}, std::vector<float>{0.1f})};
}

std::vector<std::int32_t> random_labels(std::int64_t count, std::uint32_t bound, std::uint32_t substream) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  PhiloxSequence random(5, RandomStream::kTest, substream);
  for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(bound));
  return labels;
}

/// `rows` of `classes` logits: the loss, and its gradient where it is largest and smallest.
Kernel make_cross_entropy(const Bench& bench, std::int64_t rows, std::int64_t classes) {
  Backend& backend = bench.backend();
  const Tensor logits = random_tensor(backend, {rows, classes}, DType::kF32, 1);
  const std::vector<std::int32_t> host_labels = random_labels(rows, static_cast<std::uint32_t>(classes), 2);
  const Tensor labels = Tensor::from_host(backend, {rows}, host_labels);
  const Tensor loss = Tensor::empty(backend, {}), grad = Tensor::empty(backend, {rows, classes});
  const StepState state = make_state(backend);
  Kernel kernel;
  kernel.call = [&backend, logits, labels, loss, grad, state](int) {
    backend.softmax_cross_entropy(logits, labels, {}, state, loss, grad);
  };
  kernel.verify = [=, call = kernel.call] {
    const std::vector<float> x = logits.to_host<float>();
    const auto log_probability = [&](std::int64_t row, std::int64_t k) {
      double sum = 0;
      for (std::int64_t i = 0; i < classes; ++i)
        sum += std::exp(double{x[static_cast<std::size_t>(row * classes + i)]});
      return double{x[static_cast<std::size_t>(row * classes + k)]} - std::log(sum);
    };
    verify_at_indices(
        "softmax", grad, [&] { call(0); },
        [&](std::int64_t index) {
          const std::int64_t row = index / classes, k = index % classes;
          const bool is_label = host_labels[static_cast<std::size_t>(row)] == k;
          return (std::exp(log_probability(row, k)) - (is_label ? 1 : 0)) / static_cast<double>(rows);
        });
    double mean = 0;
    for (std::int64_t row = 0; row < rows; ++row)
      mean -= log_probability(row, host_labels[static_cast<std::size_t>(row)]) / static_cast<double>(rows);
    check_agrees("loss", std::vector<double>{double{loss.to_host<float>()[0]}}, std::vector<double>{mean}, 1e-5);
  };
  return kernel;
}

/// `count` out of `images` images, in their order: verified without augmentation, timed with it.
Kernel make_gather(const Bench& bench, std::int64_t count, std::int64_t images) {
  Backend& backend = bench.backend();
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(images * 32 * 32 * 3));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
  const Tensor pixels = Tensor::from_host(backend, {images, 32, 32, 3}, bytes);
  const Tensor labels = Tensor::from_host(backend, {images}, random_labels(images, 10, 3));
  const std::vector<std::int32_t> host_order = random_labels(images, static_cast<std::uint32_t>(images), 4);
  const Tensor order = Tensor::from_host(backend, {images}, host_order);
  const Tensor x = Tensor::empty(backend, {count, 32, 32, 3}, backend.activation_dtype());
  const Tensor batch_labels = Tensor::empty(backend, {count}, DType::kI32);
  const StepState state = make_state(backend);
  GatherParams params;
  params.mean = {0.5f, 0.25f, 0.125f};
  params.inverse_std = {2.0f, 3.0f, 4.0f};
  Kernel kernel;
  kernel.call = [=, &backend](int) {
    GatherParams augmented = params;
    augmented.augment = true;
    backend.gather_batch(pixels, labels, order, state, augmented, x, batch_labels);
  };
  kernel.verify = [=, &backend, bytes = std::move(bytes)] {
    verify_at_indices(
        "gather", x, [&] { backend.gather_batch(pixels, labels, order, state, params, x, batch_labels); },
        [&](std::int64_t index) {
          const std::int64_t image = host_order[static_cast<std::size_t>(index / (32 * 32 * 3))];
          const auto c = static_cast<std::size_t>(index % 3);
          const auto at_pixel = static_cast<std::size_t>(image * 32 * 32 * 3 + index % (32 * 32 * 3));
          return (bytes[at_pixel] / 255.0 - double{params.mean[c]}) * double{params.inverse_std[c]};
        });
  };
  return kernel;
}

// ---- The list ----

using Maker = std::function<Kernel(const Bench& bench, const Shape& shape, int sets)>;

struct Entry {
  const char* name;
  double tensors;       // minimum traffic, in tensors of x's size and type
  double i32_elements;  // and in i32 tensors with x's number of elements
  Maker make;
};

const std::vector<Entry>& entries() {
  const auto forward = [](BatchNormKind kind) -> Maker {
    return
        [kind](const Bench& bench, const Shape& shape, int sets) { return make_batch_norm(bench, shape, sets, kind); };
  };
  const auto backward = [](BatchNormKind kind) -> Maker {
    return [kind](const Bench& bench, const Shape& shape, int sets) {
      return make_batch_norm_backward(bench, shape, sets, kind);
    };
  };
  const auto max_pool = [](bool is_backward) -> Maker {
    return [is_backward](const Bench& bench, const Shape& shape, int sets) {
      return make_max_pool(bench, shape, sets, is_backward);
    };
  };
  const auto global_pool = [](bool is_backward) -> Maker {
    return [is_backward](const Bench& bench, const Shape& shape, int sets) {
      return make_global_avg_pool(bench, shape, sets, is_backward);
    };
  };
  static const std::vector<Entry> all = {
      {"scale", 2, 0, make_scale},
      {"relu", 2, 0, make_relu},
      {"relu_backward", 3, 0, make_relu_backward},
      {"add", 3, 0, make_add},
      {"mul", 3, 0, make_mul},
      {"sigmoid", 2, 0, make_sigmoid},
      {"sigmoid_backward", 3, 0, make_sigmoid_backward},
      {"softmax", 2, 0, make_softmax},
      {"copy_channels", 2, 0, make_copy_channels},
      {"batch_norm_relu_with_moments", 2, 0, forward({.moments = true})},
      {"batch_norm_residual_relu_with_moments", 3, 0, forward({.residual = true, .moments = true})},
      {"batch_norm_relu", 3, 0, forward({})},
      {"batch_norm_residual_relu", 4, 0, forward({.residual = true})},
      {"batch_norm_relu_evaluation", 2, 0, forward({.evaluation = true})},
      {"batch_norm_relu_backward", 5, 0, backward({})},
      {"batch_norm_residual_relu_backward", 8, 0, backward({.residual = true})},
      {"max_pool", 1.25, 0.25, max_pool(false)},
      {"max_pool_backward", 1.25, 0.25, max_pool(true)},
      {"avg_pool", 1.25, 0, make_avg_pool},
      {"global_avg_pool", 1, 0, global_pool(false)},
      {"global_avg_pool_backward", 1, 0, global_pool(true)},
  };
  return all;
}

Measured measure(const Bench& bench, const Kernel& kernel, int sets, double bytes) {
  kernel.verify();
  Measured measured{time_recorded(bench.backend(), sets, kernel.call, bench.timing()), {bytes, 0}, {}, {}};
  measured.counters["sets"] = sets;
  if (bytes * sets < kLargestCache) measured.label = "fits in a cache";
  return measured;
}

void add_shapes(const Bench& bench, std::int64_t batch) {
  const std::vector<Shape> shapes = {
      {batch, 32, 32, 64}, {batch, 16, 16, 128}, {batch, 8, 8, 256}, {batch, 4, 4, 512}, {batch, 32, 32, 256}};
  for (const Shape& shape : shapes) {
    const std::string shape_name = fmt::format("{}x{}x{}", shape[1], shape[2], shape[3]);
    const double count = static_cast<double>(shape.count());
    const double element = static_cast<double>(size_of(bench.backend().activation_dtype()));
    if (bench.device().kind == DeviceKind::kCuda) {
      add_benchmark("library_copy/" + shape_name, bench, [&bench, bytes = count * element] {
        const LibraryRate measured = library_copy_rate(static_cast<std::size_t>(bytes), bench.timing().rotated_bytes);
        if (measured.rate == 0) throw LeftOut(measured.reason);
        return Measured{{2 * bytes / measured.rate, 0, 0}, {2 * bytes, 0}, {}, {}};
      });
    }
    for (const Entry& entry : entries()) {
      const double bytes = count * (entry.tensors * element + entry.i32_elements * 4);
      add_benchmark(fmt::format("{}/{}", entry.name, shape_name), bench, [&bench, &entry, shape, bytes] {
        const int sets = buffer_sets(bytes, bench.timing());
        return measure(bench, entry.make(bench, shape, sets), sets, bytes);
      });
    }
  }
}

void add_others(const Bench& bench, std::int64_t batch) {
  const double element = static_cast<double>(size_of(bench.backend().activation_dtype()));
  for (const auto& [rows, classes] : {std::pair<std::int64_t, std::int64_t>{batch, 10}, {64 * batch, 100}}) {
    add_benchmark(
        fmt::format("softmax_cross_entropy/{}x{}", rows, classes), bench, [&bench, rows = rows, classes = classes] {
          return measure(bench, make_cross_entropy(bench, rows, classes), 1, 8.0 * static_cast<double>(rows * classes));
        });
  }
  const std::int64_t images = bench.quick() ? 2 * batch : std::max<std::int64_t>(50'000, 64 * batch);
  for (const std::int64_t count : {batch, bench.quick() ? 2 * batch : 64 * batch}) {
    add_benchmark(fmt::format("gather_batch/{}", count), bench, [&bench, count, images, element] {
      const double bytes = static_cast<double>(count) * 32 * 32 * 3 * (1 + element);
      return measure(bench, make_gather(bench, count, images), 1, bytes);
    });
  }
}

}  // namespace
}  // namespace gradamp::bench

int main(int argc, char** argv) {
  using namespace gradamp::bench;
  BenchOptions options;
  std::int64_t batch = 0;
  CLI::App app("The non-convolution kernels, in GB/s beside a copy");
  add_options(app, options);
  add_batch_option(app, batch);
  return run_benchmarks(app, options, argc, argv, [&](const Bench& bench) {
    if (batch == 0) batch = default_batch(bench.quick());
    benchmark::AddCustomContext("batch", std::to_string(batch));
    add_shapes(bench, batch);
    add_others(bench, batch);
  });
}
