// SPDX-License-Identifier: MIT
#include "gradamp/core/operations.h"

#include <memory>
#include <utility>

#include "gradamp/core/shard.h"

namespace gradamp {
namespace {

// The checks of shapes and types are for tensors and for variables, whose values may not be computed yet.
template <typename TensorOrVariable>
void check_rank(const char* operation, const char* what, const TensorOrVariable& tensor, int rank) {
  check(tensor.shape().rank() == rank, "{}: expected {} of {} dimensions, got shape {}", operation, what, rank,
        tensor.shape().to_string());
}

template <typename TensorOrVariable>
void check_shape(const char* operation, const char* what, const TensorOrVariable& tensor, const Shape& expected) {
  check(tensor.shape() == expected, "{}: expected {} of shape {}, got {}", operation, what, expected.to_string(),
        tensor.shape().to_string());
}

/// The extent of a window operation's result.
std::int64_t window_extent(const char* operation, std::int64_t extent, std::int64_t kernel, int stride, int padding) {
  check(stride >= 1 && padding >= 0, "{}: expected stride >= 1 and padding >= 0, got {} and {}", operation, stride,
        padding);
  check(kernel >= 1 && kernel <= extent + 2 * padding, "{}: expected a window of 1 to {} pixels, got {}", operation,
        extent + 2 * padding, kernel);
  return (extent + 2 * padding - kernel) / stride + 1;
}

Shape pooled_shape(const char* operation, const Shape& x, const Pool2dParams& params) {
  check(2 * params.padding <= params.kernel, "{}: expected padding of at most half the window {}, got {}", operation,
        params.kernel, params.padding);
  return {x[0], window_extent(operation, x[1], params.kernel, params.stride, params.padding),
          window_extent(operation, x[2], params.kernel, params.stride, params.padding), x[3]};
}

template <typename TensorOrVariable>
void check_dtype(const char* operation, const char* what, const TensorOrVariable& tensor, DType expected) {
  check(tensor.dtype() == expected, "{}: expected {} of {}, got {}", operation, what, name_of(expected),
        name_of(tensor.dtype()));
}

/// An input with its name for messages; `backend` is null if it is undefined.
struct Input {
  const char* name;
  const Backend* backend = nullptr;
  Shape shape;

  template <typename TensorOrVariable>
  Input(const char* of, const TensorOrVariable& value) : name(of) {
    if (!value.defined()) return;
    backend = &value.backend();
    shape = value.shape();
  }
};

/// Error unless all of `required` are defined, and all of them and the defined ones of `optional` are on one backend
/// and not empty.
void check_inputs(const char* operation, std::initializer_list<Input> required,
                  std::initializer_list<Input> optional = {}) {
  const Input& first = *required.begin();
  const auto check_input = [&](const Input& input) {
    check(input.shape.count() > 0, "{}: expected {} with elements, got shape {}", operation, input.name,
          input.shape.to_string());
    check(input.backend == first.backend, "{}: expected {} on the backend of {} ({}), got another one ({})", operation,
          input.name, first.name, to_string(first.backend->device()), to_string(input.backend->device()));
  };
  for (const Input& input : required) {
    check(input.backend != nullptr, "{}: expected {}, got an undefined tensor", operation, input.name);
    check_input(input);
  }
  for (const Input& input : optional)
    if (input.backend) check_input(input);
}

template <typename TensorOrVariable>
void check_floating(const char* operation, const char* what, const TensorOrVariable& tensor) {
  check(tensor.dtype() == DType::kF32 || tensor.dtype() == DType::kBF16, "{}: expected {} of f32 or bf16, got {}",
        operation, what, name_of(tensor.dtype()));
}

Tensor empty_like(const Variable& x, const Shape& shape) { return Tensor::empty(x.backend(), shape, x.dtype()); }

std::int64_t last_extent(const Shape& shape) { return shape[shape.rank() - 1]; }

/// `shape` with another last extent.
Shape with_last_extent(const Shape& shape, std::int64_t extent) {
  Shape result;
  for (int i = 0; i + 1 < shape.rank(); ++i) result.push_back(shape[i]);
  result.push_back(extent);
  return result;
}

/// The result's shape. Error unless the inputs can be concatenated.
Shape concatenated_shape(const std::vector<Variable>& inputs) {
  check(!inputs.empty(), "concat: expected at least one input, got none");
  std::int64_t channels = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = fmt::format("input {}", i);
    check_inputs("concat", {{"input 0", inputs[0]}, {name.c_str(), inputs[i]}});
    const Variable &first = inputs[0], &input = inputs[i];
    check_floating("concat", "input 0", first);
    check(first.shape().rank() >= 1, "concat: expected inputs of 1 dimension or more, got a scalar");
    check_rank("concat", name.c_str(), input, first.shape().rank());
    check_shape("concat", name.c_str(), input, with_last_extent(first.shape(), last_extent(input.shape())));
    check_dtype("concat", name.c_str(), input, first.dtype());
    channels += last_extent(input.shape());
  }
  return with_last_extent(inputs[0].shape(), channels);
}

/// The operation of that name: `function` of every element.
Variable unary(const char* operation, UnaryFunction function, const Variable& x) {
  check_inputs(operation, {{"input", x}});
  check_floating(operation, "input", x);
  Tensor y = empty_like(x, x.shape());
  x.backend().unary_forward(function, x.value(), y);
  return make_result(y, {x}, [x, function](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().unary_backward(function, grad_y, x.value(), out); });
  });
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dParams& params) {
  check_inputs("conv2d", {{"input", x}, {"weight", weight}}, {{"bias", bias}});
  check_rank("conv2d", "input", x, 4);
  check_rank("conv2d", "weight", weight, 4);
  const Shape& in = x.shape();
  const Shape& filter = weight.shape();
  const std::int64_t groups = params.groups;
  check(groups >= 1 && filter[0] % groups == 0, "conv2d: expected groups that divide the {} output channels, got {}",
        filter[0], groups);
  check(in[3] == filter[3] * groups, "conv2d: expected input channels {}, got {}", filter[3] * groups, in[3]);
  check(params.dilation >= 1, "conv2d: expected dilation >= 1, got {}", params.dilation);
  if (bias.defined()) check_shape("conv2d", "bias", bias, {filter[0]});
  const auto extent = [&](std::int64_t image, std::int64_t taps) {
    return window_extent("conv2d", image, (taps - 1) * params.dilation + 1, params.stride, params.padding);
  };
  const Shape result = {in[0], extent(in[1], filter[1]), extent(in[2], filter[2]), filter[0]};
  Conv2dForward forward{
      x.normalized(), weight.value_as(x.dtype()), bias.defined() ? bias.value() : Tensor(), empty_like(x, result), {}};
  // Only a batch norm in training uses the moments of y.
  if (records({x, weight, bias})) forward.moments = x.backend().make_moments(forward, params);
  x.backend().conv2d_forward(forward, params);
  Variable y = make_result(
      forward.y, {x, weight, bias},
      [x = x.target(), input = forward.x, weight, bias = bias.target(), params](const Tensor& grad_y) {
        Backend& backend = grad_y.backend();
        weight.receive_grad_from(
            [&](const Tensor& out) { backend.conv2d_backward_filter(input, grad_y, params, out); });
        bias.receive_grad_from([&](const Tensor& out) { backend.bias_backward(grad_y, out); });
        const auto compute_grad_x = [&](const Tensor& out, bool add) {
          const bool is_whole = add || !x.has_grad();
          backend.conv2d_backward_input(
              {grad_y, weight.value_as(grad_y.dtype()), out, add, is_whole ? x.pending_batch_norm() : nullptr}, params);
        };
        x.receive_grad_from([&](const Tensor& out) { compute_grad_x(out, false); },
                            [&](const Tensor& sum) { compute_grad_x(sum, true); });
      });
  y.set_moments(forward.moments);
  return y;
}

namespace {

/// Gives `forward` the moments of the batch that its shard belongs to.
void share_moments(ShardGroup& group, std::int64_t pixels, BatchNormForward& forward) {
  const Tensor own = forward.x.backend().batch_norm_moments(forward.x, forward.moments);
  forward.batch_moments = group.merge(BatchNormPair::kMoments, own, pixels);
  forward.batch_rows = group.images() * pixels;
  if (group.updates_running_statistics()) return;
  forward.running_mean = {};
  forward.running_var = {};
}

/// What receives a batch norm's gradients.
struct BatchNormTargets {
  GradientTarget x, gamma, beta, residual;
};

/// Gives `norm` the sums of that batch. The shard's own sums become its gradients of gamma and beta.
void share_sums(ShardGroup& group, std::int64_t pixels, const BatchNormTargets& targets, PendingBatchNorm& norm) {
  BatchNormBackward& tensors = norm.tensors;
  Backend& backend = tensors.x.backend();
  const Shape channels = tensors.mean.shape();
  if (!tensors.sums.defined()) {
    tensors.sums = Tensor::empty(backend, {2, channels[0]});
    backend.batch_norm_sums(tensors, norm.params);
  }
  const Tensor own = tensors.sums;
  targets.beta.receive_grad_from([&](const Tensor& out) { backend.cast(own.view(channels), out); });
  targets.gamma.receive_grad_from(
      [&](const Tensor& out) { backend.mul(own.view(channels, channels[0]), tensors.inverse_std, out); });
  tensors.sums = group.merge(BatchNormPair::kSums, own, pixels);
  tensors.batch_rows = group.images() * pixels;
}

void differentiate_batch_norm(PendingBatchNorm& norm, const BatchNormTargets& targets, ShardGroup* group,
                              std::int64_t pixels) {
  BatchNormBackward& tensors = norm.tensors;
  const auto& [x, gamma, beta, residual] = targets;
  tensors.grad_x = Tensor::empty(x.backend(), x.shape(), x.dtype());
  // The residual's gradient is g: grad_y itself, unless a ReLU is still to be applied to it.
  if (residual.requires_grad() && norm.params.relu && !tensors.is_masked)
    tensors.grad_residual = Tensor::empty(x.backend(), x.shape(), x.dtype());
  if (group != nullptr) {
    share_sums(*group, pixels, targets, norm);
    x.backend().batch_norm_backward(tensors, norm.params);
    x.receive_grad(tensors.grad_x);
  } else {
    tensors.grad_gamma = gamma.grad_destination();
    tensors.grad_beta = beta.grad_destination();
    x.backend().batch_norm_backward(tensors, norm.params);
    x.receive_grad(tensors.grad_x);
    gamma.receive_grad(tensors.grad_gamma);
    beta.receive_grad(tensors.grad_beta);
  }
  residual.receive_grad(tensors.grad_residual.defined() ? tensors.grad_residual : tensors.grad_y);
}

}  // namespace

Variable batch_norm(const Variable& x, const BatchNormState& state, const BatchNormParams& params, bool training,
                    const Variable& residual) {
  check_inputs("batch_norm",
               {{"input", x},
                {"gamma", state.gamma},
                {"beta", state.beta},
                {"running mean", state.running_mean},
                {"running variance", state.running_var}},
               {{"residual", residual}});
  const Shape& shape = x.shape();
  check(shape.rank() >= 2, "batch_norm: expected an input of 2 dimensions or more, got shape {}", shape.to_string());
  const Shape channels = {shape[shape.rank() - 1]};
  check_shape("batch_norm", "gamma", state.gamma, channels);
  check_shape("batch_norm", "beta", state.beta, channels);
  check_shape("batch_norm", "running mean", state.running_mean, channels);
  check_shape("batch_norm", "running variance", state.running_var, channels);
  if (residual.defined()) {
    check_shape("batch_norm", "residual", residual, shape);
    check_dtype("batch_norm", "residual", residual, x.dtype());
  }
  ShardGroup* const group = training ? current_shard_group() : nullptr;
  const std::int64_t rows = shape.count() / channels[0], pixels = rows / shape[0];
  check(!training || (group != nullptr ? group->images() * pixels : rows) > 1,
        "batch_norm: expected more than one value a channel in training, got shape {}", shape.to_string());

  Backend& backend = x.backend();
  BatchNormForward forward{.x = x.value(),
                           .moments = x.moments(),
                           .residual = residual.defined() ? residual.value() : Tensor(),
                           .gamma = state.gamma.value(),
                           .beta = state.beta.value(),
                           .running_mean = state.running_mean,
                           .running_var = state.running_var,
                           .y = {},
                           .mean = {},
                           .inverse_std = {},
                           .affine = {},
                           .batch_moments = {}};
  // Without a residual, the convolution that reads y can compute it from x.
  if (backend.normalizes_inputs() && !residual.defined()) {
    forward.affine = Tensor::empty(backend, {3, channels[0]});
  } else {
    forward.y = empty_like(x, shape);
  }
  const auto result = [&] {
    return forward.y.defined() ? NormalizedTensor(forward.y) : NormalizedTensor(forward.x, forward.affine, params.relu);
  };
  if (!training) {
    check(!records({x, state.gamma, state.beta, residual}), "batch_norm: evaluation has no backward; hold a NoGrad");
    backend.batch_norm_forward_evaluation(forward, params);
    return Variable(result());
  }
  forward.mean = Tensor::empty(backend, channels);
  forward.inverse_std = Tensor::empty(backend, channels);
  if (group != nullptr) share_moments(*group, pixels, forward);
  backend.batch_norm_forward_training(forward, params);
  const auto pending = std::make_shared<PendingBatchNorm>();
  pending->params = params;
  BatchNormBackward& kept = pending->tensors;
  kept.x = forward.x;
  kept.gamma = forward.gamma;
  kept.beta = forward.beta;
  kept.mean = forward.mean;
  kept.inverse_std = forward.inverse_std;
  // With a residual the ReLU's mask can only be computed from y; without one it follows from x.
  if (params.relu && residual.defined()) kept.y = forward.y;
  const BatchNormTargets targets{x.target(), state.gamma.target(), state.beta.target(), residual.target()};
  Variable y = make_result(result(), {x, state.gamma, state.beta, residual}, [=](const Tensor& grad_y) {
    // Moved, so that its tensors are released here even if somebody keeps the result.
    PendingBatchNorm norm = std::exchange(*pending, {});
    norm.tensors.grad_y = grad_y;
    differentiate_batch_norm(norm, targets, group, pixels);
  });
  if (y.requires_grad()) y.set_pending_batch_norm(pending);
  return y;
}

Variable relu(const Variable& x) {
  check_inputs("relu", {{"input", x}});
  Tensor y = empty_like(x, x.shape());
  x.backend().relu_forward(x.value(), y);
  return make_result(y, {x}, [x = x.target(), y](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().relu_backward(grad_y, y, out); });
  });
}

Variable add(const Variable& a, const Variable& b) {
  check_inputs("add", {{"first operand", a}, {"second operand", b}});
  check_shape("add", "second operand", b, a.shape());
  check_dtype("add", "second operand", b, a.dtype());
  Tensor sum = empty_like(a, a.shape());
  a.backend().add(a.value(), b.value(), sum);
  return make_result(sum, {a, b}, [a = a.target(), b = b.target()](const Tensor& grad_sum) {
    a.receive_grad(grad_sum);
    b.receive_grad(grad_sum);
  });
}

Variable mul(const Variable& a, const Variable& b) {
  check_inputs("mul", {{"first operand", a}, {"second operand", b}});
  check_floating("mul", "first operand", a);
  check_shape("mul", "second operand", b, a.shape());
  check_dtype("mul", "second operand", b, a.dtype());
  Tensor product = empty_like(a, a.shape());
  a.backend().mul(a.value(), b.value(), product);
  return make_result(product, {a, b}, [a, b](const Tensor& grad_product) {
    Backend& backend = grad_product.backend();
    a.receive_grad_from([&](const Tensor& out) { backend.mul(grad_product, b.value(), out); });
    b.receive_grad_from([&](const Tensor& out) { backend.mul(grad_product, a.value(), out); });
  });
}

Variable sigmoid(const Variable& x) { return unary("sigmoid", UnaryFunction::kSigmoid, x); }

Variable gelu(const Variable& x) { return unary("gelu", UnaryFunction::kGelu, x); }

Variable softmax(const Variable& x) {
  check_inputs("softmax", {{"input", x}});
  check_floating("softmax", "input", x);
  check(x.shape().rank() >= 1, "softmax: expected an input of 1 dimension or more, got a scalar");
  Tensor y = empty_like(x, x.shape());
  x.backend().softmax_forward(x.value(), y);
  return make_result(y, {x}, [x = x.target(), y](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().softmax_backward(grad_y, y, out); });
  });
}

Variable concat(const std::vector<Variable>& inputs) {
  const Shape shape = concatenated_shape(inputs);
  const Variable& first = inputs.front();
  Tensor y = empty_like(first, shape);
  std::int64_t channel = 0;
  for (const Variable& input : inputs) {
    const std::int64_t channels = last_extent(input.shape());
    first.backend().copy_channels(input.value(), 0, y, channel, channels);
    channel += channels;
  }
  return make_result(
      y, inputs, [targets = std::vector<GradientTarget>(inputs.begin(), inputs.end())](const Tensor& grad_y) {
        std::int64_t begin = 0;
        for (const GradientTarget& input : targets) {
          const std::int64_t channels = last_extent(input.shape());
          input.receive_grad_from(
              [&](const Tensor& out) { grad_y.backend().copy_channels(grad_y, begin, out, 0, channels); });
          begin += channels;
        }
      });
}

Variable scale_grad(const Variable& x, const Tensor& factors, std::int64_t index) {
  check_inputs("scale_grad", {{"input", x}, {"factors", factors}});
  check(index >= 0 && index < factors.count(), "scale_grad: expected an index below {}, got {}", factors.count(),
        index);
  Variable y = make_result(x.value(), {x}, [x = x.target(), factors, index](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().scale(grad_y, factors, index, out); });
  });
  y.set_moments(x.moments());
  return y;
}

Variable max_pool2d(const Variable& x, const Pool2dParams& params) {
  check_inputs("max_pool2d", {{"input", x}});
  check_rank("max_pool2d", "input", x, 4);
  const Shape shape = pooled_shape("max_pool2d", x.shape(), params);
  Tensor y = empty_like(x, shape);
  Tensor argmax = Tensor::empty(x.backend(), shape, DType::kI32);
  x.backend().max_pool2d_forward(x.value(), params, y, argmax);
  return make_result(y, {x}, [x = x.target(), params, argmax](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().max_pool2d_backward(grad_y, argmax, params, out); });
  });
}

Variable avg_pool2d(const Variable& x, const Pool2dParams& params) {
  check_inputs("avg_pool2d", {{"input", x}});
  check_rank("avg_pool2d", "input", x, 4);
  Tensor y = empty_like(x, pooled_shape("avg_pool2d", x.shape(), params));
  x.backend().avg_pool2d_forward(x.value(), params, y);
  return make_result(y, {x}, [x = x.target(), params](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().avg_pool2d_backward(grad_y, params, out); });
  });
}

Variable global_avg_pool(const Variable& x) {
  check_inputs("global_avg_pool", {{"input", x}});
  check_rank("global_avg_pool", "input", x, 4);
  Tensor y = empty_like(x, {x.shape()[0], x.shape()[3]});
  x.backend().global_avg_pool_forward(x.value(), y);
  return make_result(y, {x}, [x = x.target()](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().global_avg_pool_backward(grad_y, out); });
  });
}

Variable zero_pad_shortcut(const Variable& x, std::int64_t channels) {
  check_inputs("zero_pad_shortcut", {{"input", x}});
  check_rank("zero_pad_shortcut", "input", x, 4);
  const Shape& in = x.shape();
  check(channels >= in[3] && (channels - in[3]) % 2 == 0,
        "zero_pad_shortcut: expected an even number of channels added to {}, got {} channels", in[3], channels);
  Tensor y = empty_like(x, {in[0], (in[1] + 1) / 2, (in[2] + 1) / 2, channels});
  x.backend().shortcut_forward(x.value(), y);
  return make_result(y, {x}, [x = x.target()](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().shortcut_backward(grad_y, out); });
  });
}

Variable flatten(const Variable& x) {
  check_inputs("flatten", {{"input", x}});
  check(x.shape().rank() >= 1, "flatten: expected an input of 1 dimension or more, got a scalar");
  const std::int64_t batch = x.shape()[0];
  const Shape flat = {batch, x.shape().count() / batch};
  return make_result(x.value().view(flat), {x},
                     [x = x.target()](const Tensor& grad_y) { x.receive_grad(grad_y.view(x.shape())); });
}

Variable cast(const Variable& x, DType dtype) {
  check_inputs("cast", {{"input", x}});
  const auto castable = [](DType type) { return type == DType::kF32 || type == DType::kBF16; };
  check(castable(x.dtype()) && castable(dtype), "cast: expected f32 or bf16, got {} to {}", name_of(x.dtype()),
        name_of(dtype));
  if (x.dtype() == dtype) return x;
  Tensor y = Tensor::empty(x.backend(), x.shape(), dtype);
  x.backend().cast(x.value(), y);
  return make_result(y, {x}, [x = x.target()](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().cast(grad_y, out); });
  });
}

Variable linear(const Variable& input, const Variable& weight, const Variable& bias) {
  check_inputs("linear", {{"input", input}, {"weight", weight}}, {{"bias", bias}});
  check_rank("linear", "input", input, 2);
  const Variable x = cast(input, DType::kF32);
  check_rank("linear", "weight", weight, 2);
  check(x.shape()[1] == weight.shape()[1], "linear: expected {} input features, got {}", weight.shape()[1],
        x.shape()[1]);
  if (bias.defined()) check_shape("linear", "bias", bias, {weight.shape()[0]});
  Tensor y = Tensor::empty(x.backend(), {x.shape()[0], weight.shape()[0]});
  x.backend().linear_forward(x.value(), weight.value(), bias.defined() ? bias.value() : Tensor(), y);
  return make_result(y, {x, weight, bias}, [x, weight, bias = bias.target()](const Tensor& grad_y) {
    Backend& backend = grad_y.backend();
    weight.receive_grad_from([&](const Tensor& out) { backend.linear_backward_weight(x.value(), grad_y, out); });
    bias.receive_grad_from([&](const Tensor& out) { backend.bias_backward(grad_y, out); });
    x.receive_grad_from([&](const Tensor& out) { backend.linear_backward_input(grad_y, weight.value(), out); });
  });
}

Variable dropout(const Variable& x, const DropoutParams& given, const StepState& state) {
  DropoutParams params = given;
  check_inputs("dropout", {{"input", x}, {"the run's StepState", state.counters}});
  check(params.probability >= 0.0f && params.probability < 1.0f,
        "dropout: expected a probability of at least 0 and less than 1, got {}", params.probability);
  if (const auto shard = static_cast<std::uint32_t>(current_shard()); shard > 0) {
    static_assert(kMaxShards <= 128);
    constexpr int kShift = 25;  // the shard has the substream's upper 7 bits
    check(params.substream >> kShift == 0, "dropout: with shards, expected a substream below {}, got {}", 1 << kShift,
          params.substream);
    params.substream |= shard << kShift;
  }
  Tensor y = empty_like(x, x.shape());
  x.backend().dropout_forward(x.value(), params, state, y);
  return make_result(y, {x}, [x = x.target(), params, state](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& out) { grad_y.backend().dropout_backward(grad_y, params, state, out); });
  });
}

Variable softmax_cross_entropy(const Variable& logits, const Tensor& labels, const StepState& state,
                               const CrossEntropyParams& params) {
  check_inputs("softmax_cross_entropy", {{"logits", logits},
                                         {"labels", labels},
                                         {"the run's StepState", state.counters},
                                         {"the run's StepState", state.metrics}});
  check_rank("softmax_cross_entropy", "logits", logits, 2);
  check_dtype("softmax_cross_entropy", "logits", logits, DType::kF32);
  check_shape("softmax_cross_entropy", "labels", labels, {logits.shape()[0]});
  check_dtype("softmax_cross_entropy", "labels", labels, DType::kI32);
  check(params.label_smoothing >= 0 && params.label_smoothing < 1,
        "softmax_cross_entropy: expected label smoothing in [0, 1), got {}", params.label_smoothing);
  check(params.divisor >= 0, "softmax_cross_entropy: expected a divisor of at least 0, got {}", params.divisor);
  Tensor loss = Tensor::empty(logits.backend(), {});
  Tensor grad_logits = Tensor::empty(logits.backend(), logits.shape());
  logits.backend().softmax_cross_entropy(logits.value(), labels, params, state, loss, grad_logits);
  return make_result(loss, {logits}, [logits = logits.target(), grad_logits](const Tensor& grad_loss) {
    logits.receive_grad_from(
        [&](const Tensor& out) { grad_loss.backend().scale(grad_logits, grad_loss.view({1}), 0, out); });
  });
}

Batch gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, std::int64_t count,
                   const StepState& state, const GatherParams& params) {
  check_inputs("gather_batch",
               {{"images", images}, {"labels", labels}, {"order", order}, {"the run's StepState", state.counters}});
  check_rank("gather_batch", "images", images, 4);
  const Shape& shape = images.shape();
  check((images.dtype() == DType::kU8 || images.dtype() == DType::kF32) && shape[3] <= kMaxImageChannels,
        "gather_batch: expected images of u8 or f32 with 1 to {} channels, got {} of shape {}", kMaxImageChannels,
        name_of(images.dtype()), shape.to_string());
  check(shape[1] <= kMaxImageExtent && shape[2] <= kMaxImageExtent,
        "gather_batch: expected images of at most {} pixels in height and width, got shape {}", kMaxImageExtent,
        shape.to_string());
  check_shape("gather_batch", "labels", labels, {shape[0]});
  check(count >= 1 && count <= order.count(), "gather_batch: expected 1 to {} images, got {}", order.count(), count);
  check(params.padding >= 0, "gather_batch: expected padding >= 0, got {}", params.padding);
  check(params.cutout >= 0, "gather_batch: expected cutout >= 0, got {}", params.cutout);
  Backend& backend = images.backend();
  Batch batch{Tensor::empty(backend, {count, shape[1], shape[2], shape[3]}, backend.activation_dtype()),
              Tensor::empty(backend, {count}, DType::kI32)};
  backend.gather_batch(images, labels, order, state, params, batch.images, batch.labels);
  return batch;
}

}  // namespace gradamp
