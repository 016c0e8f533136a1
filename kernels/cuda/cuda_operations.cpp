// SPDX-License-Identifier: MIT
// The backend's operations: from tensors to the launches of the kernels.
#include <limits>

#include "gradamp/kernels/cuda/arena_pointers.h"
#include "gradamp/kernels/cuda/batch_norm.h"
#include "gradamp/kernels/cuda/channel_copy.h"
#include "gradamp/kernels/cuda/convolution_hopper.h"
#include "gradamp/kernels/cuda/convolution_naive.h"
#include "gradamp/kernels/cuda/cuda_backend.h"
#include "gradamp/kernels/cuda/elementwise.h"
#include "gradamp/kernels/cuda/gather.h"
#include "gradamp/kernels/cuda/linear.h"
#include "gradamp/kernels/cuda/loss.h"
#include "gradamp/kernels/cuda/pooling.h"
#include "gradamp/kernels/cuda/softmax.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Converts an extent to the 32 bits in which kernels count pixels and channels.
int extent(std::int64_t value) {
  check(value <= std::numeric_limits<int>::max(),
        "expected fewer than 2^31 elements for the device, got {}; try a "
        "smaller batch",
        value);
  return static_cast<int>(value);
}

ConvolutionShape convolution_shape(const Shape& x, const Shape& filter, const Shape& y, const Conv2dParams& params) {
  extent(x.count());
  extent(y.count());
  extent(filter.count());
  return {.batch = extent(x[0]),
          .height = extent(x[1]),
          .width = extent(x[2]),
          .in_channels = extent(x[3]),
          .out_height = extent(y[1]),
          .out_width = extent(y[2]),
          .out_channels = extent(y[3]),
          .kernel_h = extent(filter[1]),
          .kernel_w = extent(filter[2]),
          .stride = params.stride,
          .padding = params.padding};
}

/// The precision of a convolution of images of `type`. A bf16 backend accepts f32 images too.
Precision precision_of(DType type, Precision precision) {
  if (type == DType::kBF16) return Precision::kBF16;
  return precision == Precision::kTF32 ? Precision::kTF32 : Precision::kF32;
}

std::int64_t last_extent(const Tensor& x) { return x.shape()[x.shape().rank() - 1]; }

/// Views (..., C) as rows of C channels.
Rows rows_of(const Tensor& x) {
  const std::int64_t channels = last_extent(x);
  check(channels <= std::int64_t{kMaxCompletionCounters} * 32, "expected at most {} channels for the device, got {}",
        kMaxCompletionCounters * 32, channels);
  return {x.count() / channels, static_cast<int>(channels)};
}

PoolShape pool_shape(const Shape& x, const Shape& y) {
  extent(x.count());
  return {extent(x[0]), extent(x[1]), extent(x[2]), extent(x[3]), extent(y[1]), extent(y[2])};
}

/// `x` is (rows, inputs), `weight` (outputs, inputs).
LinearShape linear_shape(const Tensor& x, const Tensor& weight) {
  return {extent(x.shape()[0]), extent(weight.shape()[1]), extent(weight.shape()[0])};
}

const void* data_or_null(const Tensor& tensor) { return tensor.defined() ? tensor.raw_data() : nullptr; }
float* floats_or_null(const Tensor& tensor) { return tensor.defined() ? tensor.data<float>() : nullptr; }

}  // namespace

ArenaPointers arena_pointers(const Arena& arena) {
  const auto f32 = [](const Tensor& tensor) { return tensor.defined() ? tensor.data<float>() : nullptr; };
  const Tensor& all = arena.weights.defined() ? arena.weights : arena.gradients;
  return {.count = all.defined() ? all.count() : 0,
          .weights = f32(arena.weights),
          .momentum = f32(arena.momentum),
          .weights_bf16 = arena.weights_bf16.defined() ? static_cast<bf16*>(arena.weights_bf16.raw_data()) : nullptr,
          .gradients = f32(arena.gradients),
          .signed_sums = f32(arena.signed_sums),
          .absolute_sums = f32(arena.absolute_sums),
          .layers = reinterpret_cast<const LayerRange*>(arena.layers.device_ranges().data<std::int64_t>()),
          .layer_count = extent(arena.layers.count()),
          .chunk_layers = arena.layers.chunk_layers().data<std::int32_t>(),
          .neuron_layers = arena.layers.neuron_layers().data<std::int32_t>(),
          .neurons = extent(arena.layers.neurons())};
}

// ---- Elementwise ----

void CudaBackend::fill(const Tensor& tensor, float value) {
  launch_fill(stream(), tensor.count(), value, tensor.data<float>());
}

void CudaBackend::cast(const Tensor& x, const Tensor& y) {
  launch_cast(stream(), x.dtype(), y.dtype(), x.count(), x.raw_data(), y.raw_data());
}

void CudaBackend::relu_forward(const Tensor& x, const Tensor& y) {
  launch_relu(stream(), x.dtype(), x.count(), x.raw_data(), y.raw_data());
}

void CudaBackend::relu_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) {
  launch_relu_backward(stream(), y.dtype(), y.count(), grad_y.raw_data(), y.raw_data(), grad_x.raw_data());
}

void CudaBackend::add(const Tensor& a, const Tensor& b, const Tensor& sum) {
  launch_add(stream(), a.dtype(), a.count(), a.raw_data(), b.raw_data(), sum.raw_data());
}

void CudaBackend::mul(const Tensor& a, const Tensor& b, const Tensor& product) {
  launch_mul(stream(), a.dtype(), a.count(), a.raw_data(), b.raw_data(), product.raw_data());
}

void CudaBackend::unary_forward(UnaryFunction function, const Tensor& x, const Tensor& y) {
  launch_unary(stream(), function, x.dtype(), x.count(), x.raw_data(), y.raw_data());
}

void CudaBackend::unary_backward(UnaryFunction function, const Tensor& grad_y, const Tensor& x, const Tensor& grad_x) {
  launch_unary_backward(stream(), function, x.dtype(), x.count(), grad_y.raw_data(), x.raw_data(), grad_x.raw_data());
}

void CudaBackend::scale(const Tensor& x, const Tensor& scale, std::int64_t index, const Tensor& y) {
  launch_scale(stream(), x.dtype(), x.count(), x.raw_data(), scale.data<float>() + index, y.raw_data());
}

void CudaBackend::dropout_forward(const Tensor& x, const DropoutParams& params, const StepState& state,
                                  const Tensor& y) {
  launch_dropout(stream(), x.dtype(), x.count(), params, state.counters.data<std::int64_t>(), x.raw_data(),
                 y.raw_data());
}

void CudaBackend::dropout_backward(const Tensor& grad_y, const DropoutParams& params, const StepState& state,
                                   const Tensor& grad_x) {
  dropout_forward(grad_y, params, state, grad_x);
}

// ---- Channels ----

void CudaBackend::softmax_forward(const Tensor& x, const Tensor& y) {
  const int channels = extent(last_extent(x));
  launch_softmax(stream(), x.dtype(), x.count() / channels, channels, x.raw_data(), y.raw_data());
}

void CudaBackend::softmax_backward(const Tensor& grad_y, const Tensor& y, const Tensor& grad_x) {
  const int channels = extent(last_extent(y));
  launch_softmax_backward(stream(), y.dtype(), y.count() / channels, channels, grad_y.raw_data(), y.raw_data(),
                          grad_x.raw_data());
}

void CudaBackend::copy_channels(const Tensor& from, std::int64_t from_channel, const Tensor& to,
                                std::int64_t to_channel, std::int64_t channels) {
  extent(from.count());
  extent(to.count());
  const int from_channels = extent(last_extent(from)), to_channels = extent(last_extent(to));
  launch_channel_copy(stream(), from.dtype(), extent(from.count() / from_channels), extent(channels), from.raw_data(),
                      {from_channels, extent(from_channel)}, to.raw_data(), {to_channels, extent(to_channel)});
}

// ---- Convolution ----

void CudaBackend::conv2d_forward(const Conv2dForward& tensors, const Conv2dParams& params) {
  const Tensor& x = tensors.x.tensor;
  const ConvolutionShape shape = convolution_shape(x.shape(), tensors.weight.shape(), tensors.y.shape(), params);
  if (uses_naive(params)) {
    launch_naive_convolution(stream(), x.dtype(), {shape, params.dilation, params.groups}, x.raw_data(),
                             tensors.weight.raw_data(), static_cast<const float*>(data_or_null(tensors.bias)),
                             tensors.y.raw_data());
    return;
  }
  std::shared_ptr<double> memory;
  ChannelPairs moments;
  if (tensors.moments.values.defined()) {
    const Rows rows = rows_of(tensors.y);
    memory = workspace<double>(ChannelPairs::workspace(rows));
    moments = {rows, tensors.moments.values.data<float>(), memory.get(), completion_counters()};
  }
  const Precision precision = precision_of(x.dtype(), precision_);
  const ConvolutionForward pointers{.x = x.raw_data(),
                                    .filter = tensors.weight.raw_data(),
                                    .bias = static_cast<const float*>(data_or_null(tensors.bias)),
                                    .y = tensors.y.raw_data(),
                                    .moments = moments};
  if (uses_hopper(precision) && hopper_suits(shape)) {
    launch_hopper_convolution(stream(), shape, pointers);
  } else {
    launch_convolution(stream(), precision, shape, pointers);
  }
}

ChannelMoments CudaBackend::make_moments(const Conv2dForward& tensors, const Conv2dParams& params) {
  return uses_naive(params) ? ChannelMoments() : memory_of_moments(tensors.y);
}

ChannelMoments CudaBackend::memory_of_moments(const Tensor& y) {
  const Rows rows = rows_of(y);
  return {Tensor::empty(*this, {1, 2, rows.channels}), rows.rows};
}

void CudaBackend::conv2d_backward_input(const Conv2dBackwardInput& tensors, const Conv2dParams& params) {
  const Tensor &grad_y = tensors.grad_y, &weight = tensors.weight, &grad_x = tensors.grad_x;
  const ConvolutionShape shape = convolution_shape(grad_x.shape(), weight.shape(), grad_y.shape(), params);
  if (uses_naive(params)) {
    if (tensors.add) return add_backward_input(tensors, params);
    launch_naive_convolution_backward_input(stream(), grad_y.dtype(), {shape, params.dilation, params.groups},
                                            grad_y.raw_data(), weight.raw_data(), grad_x.raw_data());
    return;
  }
  const Precision precision = precision_of(grad_y.dtype(), precision_);
  ConvolutionBackwardInput pointers{.grad_y = grad_y.raw_data(),
                                    .filter = weight.raw_data(),
                                    .grad_x = grad_x.raw_data(),
                                    .update = tensors.add ? Update::kAdd : Update::kStore};
  std::shared_ptr<double> memory;
  if (tensors.batch_norm && backward_input_can_sum(precision, shape)) {
    BatchNormBackward& norm = tensors.batch_norm->tensors;
    const Rows rows = rows_of(grad_x);
    norm.sums = Tensor::empty(*this, {2, rows.channels});
    norm.is_masked = true;
    memory = workspace<double>(ChannelPairs::workspace(rows));
    pointers.norm = {.x = norm.x.raw_data(),
                     .y = data_or_null(norm.y),
                     .gamma = norm.gamma.data<float>(),
                     .beta = norm.beta.data<float>(),
                     .mean = norm.mean.data<float>(),
                     .inverse_std = norm.inverse_std.data<float>(),
                     .relu = tensors.batch_norm->params.relu,
                     .sums = {rows, norm.sums.data<float>(), memory.get(), completion_counters()}};
  }
  if (uses_hopper(precision) && hopper_suits(shape)) {
    launch_hopper_backward_input(stream(), shape, pointers);
  } else {
    launch_convolution_backward_input(stream(), precision, shape, pointers);
  }
}

void CudaBackend::conv2d_backward_filter(const NormalizedTensor& input, const Tensor& grad_y,
                                         const Conv2dParams& params, const Tensor& grad_weight) {
  const Tensor& x = input.tensor;
  const ConvolutionShape shape = convolution_shape(x.shape(), grad_weight.shape(), grad_y.shape(), params);
  if (uses_naive(params)) {
    launch_naive_convolution_backward_filter(stream(), x.dtype(), {shape, params.dilation, params.groups}, x.raw_data(),
                                             grad_y.raw_data(), grad_weight.data<float>());
    return;
  }
  const Precision precision = precision_of(x.dtype(), precision_);
  if (uses_hopper(precision) && hopper_suits_backward_filter(shape)) {
    const auto parts = workspace<float>(hopper_backward_filter_workspace(shape));
    launch_hopper_backward_filter(stream(), shape, x.raw_data(), grad_y.raw_data(), grad_weight.data<float>(),
                                  parts.get());
    return;
  }
  const auto parts = workspace<float>(backward_filter_workspace(precision, shape));
  launch_convolution_backward_filter(stream(), precision, shape, x.raw_data(), grad_y.raw_data(),
                                     grad_weight.data<float>(), parts.get());
}

// ---- Batch norm ----

Tensor CudaBackend::batch_norm_moments(const Tensor& x, const ChannelMoments& moments) {
  if (moments.values.defined()) return moments.values.view({2, x.shape()[x.shape().rank() - 1]});
  const Rows rows = rows_of(x);
  const Tensor values = memory_of_moments(x).values;
  const auto memory = workspace<double>(ChannelPairs::workspace(rows));
  launch_moments(stream(), x.dtype(), x.raw_data(),
                 ChannelPairs(rows, values.data<float>(), memory.get(), completion_counters()));
  return values.view({2, rows.channels});
}

void CudaBackend::batch_norm_forward_training(const BatchNormForward& tensors, const BatchNormParams& params) {
  const Rows rows = rows_of(tensors.x);
  const bool is_whole = !tensors.batch_moments.defined();
  const Tensor moments = is_whole ? batch_norm_moments(tensors.x, tensors.moments) : tensors.batch_moments;
  launch_batch_norm_apply(stream(), tensors.x.dtype(), rows, params,
                          {.x = tensors.x.raw_data(),
                           .residual = data_or_null(tensors.residual),
                           .y = tensors.y.raw_data(),
                           .gamma = tensors.gamma.data<float>(),
                           .beta = tensors.beta.data<float>(),
                           .running_mean = floats_or_null(tensors.running_mean),
                           .running_var = floats_or_null(tensors.running_var),
                           .moments = moments.data<float>(),
                           .moments_rows = is_whole ? rows.rows : tensors.batch_rows,
                           .mean = tensors.mean.data<float>(),
                           .inverse_std = tensors.inverse_std.data<float>()});
}

void CudaBackend::batch_norm_forward_evaluation(const BatchNormForward& tensors, const BatchNormParams& params) {
  launch_batch_norm_apply(stream(), tensors.x.dtype(), rows_of(tensors.x), params,
                          {.x = tensors.x.raw_data(),
                           .residual = data_or_null(tensors.residual),
                           .y = tensors.y.raw_data(),
                           .gamma = tensors.gamma.data<float>(),
                           .beta = tensors.beta.data<float>(),
                           .running_mean = tensors.running_mean.data<float>(),
                           .running_var = tensors.running_var.data<float>(),
                           .moments = nullptr,
                           .moments_rows = 0,
                           .mean = nullptr,
                           .inverse_std = nullptr});
}

namespace {

BatchNormGradients gradients_of(const BatchNormBackward& tensors) {
  return {.grad_y = tensors.grad_y.raw_data(),
          .x = tensors.x.raw_data(),
          .y = data_or_null(tensors.y),
          .gamma = tensors.gamma.data<float>(),
          .beta = tensors.beta.data<float>(),
          .mean = tensors.mean.data<float>(),
          .inverse_std = tensors.inverse_std.data<float>(),
          .grad_x = tensors.grad_x.raw_data(),
          .grad_gamma = floats_or_null(tensors.grad_gamma),
          .grad_beta = floats_or_null(tensors.grad_beta),
          .grad_residual = tensors.grad_residual.defined() ? tensors.grad_residual.raw_data() : nullptr,
          .sums = floats_or_null(tensors.sums),
          .sums_rows = tensors.batch_rows > 0 ? tensors.batch_rows : rows_of(tensors.x).rows,
          .is_masked = tensors.is_masked};
}

}  // namespace

void CudaBackend::batch_norm_backward(const BatchNormBackward& tensors, const BatchNormParams& params) {
  const Rows rows = rows_of(tensors.x);
  BatchNormGradients gradients = gradients_of(tensors);
  std::shared_ptr<double> memory;
  if (gradients.sums == nullptr) {
    memory = workspace<double>(batch_norm_backward_workspace(rows));
    float* const sums = reinterpret_cast<float*>(memory.get() + batch_norm_sums_workspace(rows));
    launch_batch_norm_sums(stream(), tensors.x.dtype(), rows, params, gradients, sums, memory.get(),
                           completion_counters());
    gradients.sums = sums;
  }
  launch_batch_norm_backward(stream(), tensors.x.dtype(), rows, params, gradients);
}

void CudaBackend::batch_norm_sums(const BatchNormBackward& tensors, const BatchNormParams& params) {
  const Rows rows = rows_of(tensors.x);
  const auto memory = workspace<double>(batch_norm_sums_workspace(rows));
  launch_batch_norm_sums(stream(), tensors.x.dtype(), rows, params, gradients_of(tensors), tensors.sums.data<float>(),
                         memory.get(), completion_counters());
}

void CudaBackend::merge_pairs(BatchNormPair kind, const Tensor& of_shards, const Tensor& images, std::int64_t pixels,
                              const Tensor& merged) {
  launch_merge_pairs(stream(), kind, of_shards.data<float>(), images.data<float>(), images.count(), pixels,
                     merged.shape()[1], merged.data<float>());
}

// ---- Pooling ----

void CudaBackend::max_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y,
                                     const Tensor& argmax) {
  launch_max_pool(stream(), x.dtype(), pool_shape(x.shape(), y.shape()), params, x.raw_data(), y.raw_data(),
                  argmax.data<std::int32_t>());
}

void CudaBackend::max_pool2d_backward(const Tensor& grad_y, const Tensor& argmax, const Pool2dParams& params,
                                      const Tensor& grad_x) {
  launch_max_pool_backward(stream(), grad_x.dtype(), pool_shape(grad_x.shape(), grad_y.shape()), params,
                           grad_y.raw_data(), argmax.data<std::int32_t>(), grad_x.raw_data());
}

void CudaBackend::avg_pool2d_forward(const Tensor& x, const Pool2dParams& params, const Tensor& y) {
  launch_avg_pool(stream(), x.dtype(), pool_shape(x.shape(), y.shape()), params, x.raw_data(), y.raw_data());
}

void CudaBackend::avg_pool2d_backward(const Tensor& grad_y, const Pool2dParams& params, const Tensor& grad_x) {
  launch_avg_pool_backward(stream(), grad_x.dtype(), pool_shape(grad_x.shape(), grad_y.shape()), params,
                           grad_y.raw_data(), grad_x.raw_data());
}

void CudaBackend::global_avg_pool_forward(const Tensor& x, const Tensor& y) {
  const Shape& shape = x.shape();
  extent(shape.count());
  launch_global_avg_pool(stream(), x.dtype(), extent(shape[0]), extent(shape[1] * shape[2]), extent(shape[3]),
                         x.raw_data(), y.raw_data());
}

void CudaBackend::global_avg_pool_backward(const Tensor& grad_y, const Tensor& grad_x) {
  const Shape& shape = grad_x.shape();
  launch_global_avg_pool_backward(stream(), grad_x.dtype(), extent(shape[0]), extent(shape[1] * shape[2]),
                                  extent(shape[3]), grad_y.raw_data(), grad_x.raw_data());
}

void CudaBackend::shortcut_forward(const Tensor& x, const Tensor& y) {
  launch_shortcut(stream(), x.dtype(), pool_shape(x.shape(), y.shape()), extent(y.shape()[3] - x.shape()[3]) / 2,
                  x.raw_data(), y.raw_data());
}

void CudaBackend::shortcut_backward(const Tensor& grad_y, const Tensor& grad_x) {
  launch_shortcut_backward(stream(), grad_x.dtype(), pool_shape(grad_x.shape(), grad_y.shape()),
                           extent(grad_y.shape()[3] - grad_x.shape()[3]) / 2, grad_y.raw_data(), grad_x.raw_data());
}

// ---- Linear and the loss ----

void CudaBackend::linear_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) {
  const LinearShape shape = linear_shape(x, weight);
  const float* const bias_or_null = bias.defined() ? bias.data<float>() : nullptr;
  switch (linear_method(shape)) {
    case LinearMethod::kSmall:
      launch_small_linear(stream(), shape, x.data<float>(), weight.data<float>(), bias_or_null, y.data<float>());
      return;
    case LinearMethod::kConvolution:
      launch_convolution(stream(), Precision::kF32, as_convolution(shape),
                         {.x = x.data<float>(),
                          .filter = weight.data<float>(),
                          .bias = bias_or_null,
                          .y = y.data<float>(),
                          .moments = {}});
      return;
    case LinearMethod::kLibrary:
      matrix_product().multiply(Transposed::kNo, Transposed::kYes, shape.rows, shape.outputs, shape.inputs,
                                x.data<float>(), weight.data<float>(), y.data<float>());
      if (bias_or_null) launch_add_bias(stream(), shape.rows, shape.outputs, bias_or_null, y.data<float>());
      return;
  }
}

void CudaBackend::linear_backward_input(const Tensor& grad_y, const Tensor& weight, const Tensor& grad_x) {
  const LinearShape shape = linear_shape(grad_x, weight);
  switch (linear_method(shape)) {
    case LinearMethod::kSmall:
      launch_small_linear_backward_input(stream(), shape, grad_y.data<float>(), weight.data<float>(),
                                         grad_x.data<float>());
      return;
    case LinearMethod::kConvolution:
      launch_convolution_backward_input(
          stream(), Precision::kF32, as_convolution(shape),
          {.grad_y = grad_y.data<float>(), .filter = weight.data<float>(), .grad_x = grad_x.data<float>()});
      return;
    case LinearMethod::kLibrary:
      matrix_product().multiply(Transposed::kNo, Transposed::kNo, shape.rows, shape.inputs, shape.outputs,
                                grad_y.data<float>(), weight.data<float>(), grad_x.data<float>());
      return;
  }
}

void CudaBackend::linear_backward_weight(const Tensor& x, const Tensor& grad_y, const Tensor& grad_weight) {
  const LinearShape shape = linear_shape(x, grad_weight);
  switch (linear_method(shape)) {
    case LinearMethod::kSmall:
      launch_small_linear_backward_weight(stream(), shape, x.data<float>(), grad_y.data<float>(),
                                          grad_weight.data<float>());
      return;
    case LinearMethod::kConvolution: {
      const ConvolutionShape convolution = as_convolution(shape);
      const auto parts = workspace<float>(backward_filter_workspace(Precision::kF32, convolution));
      launch_convolution_backward_filter(stream(), Precision::kF32, convolution, x.data<float>(), grad_y.data<float>(),
                                         grad_weight.data<float>(), parts.get());
      return;
    }
    case LinearMethod::kLibrary:
      matrix_product().multiply(Transposed::kYes, Transposed::kNo, shape.outputs, shape.inputs, shape.rows,
                                grad_y.data<float>(), x.data<float>(), grad_weight.data<float>());
      return;
  }
}

void CudaBackend::bias_backward(const Tensor& grad_y, const Tensor& grad_bias) {
  const Rows rows = rows_of(grad_y);
  const auto partial = workspace<double>(column_sums_workspace(rows));
  launch_column_sums(stream(), grad_y.dtype(), rows, grad_y.raw_data(), grad_bias.data<float>(), partial.get(),
                     completion_counters());
}

void CudaBackend::softmax_cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyParams& params,
                                        const StepState& state, const Tensor& loss, const Tensor& grad_logits) {
  const int rows = extent(logits.shape()[0]);
  const auto sums = workspace<double>(softmax_loss_workspace(rows));
  launch_softmax_cross_entropy(stream(),
                               {.rows = rows,
                                .classes = extent(logits.shape()[1]),
                                .divisor = params.divisor > 0 ? extent(params.divisor) : rows,
                                .logits = logits.data<float>(),
                                .labels = labels.data<std::int32_t>(),
                                .loss = loss.data<float>(),
                                .grad_logits = grad_logits.data<float>(),
                                .counters = state.counters.data<std::int64_t>(),
                                .metrics = state.metrics.data<double>()},
                               params.label_smoothing, sums.get(), completion_counters());
}

// ---- The step ----

void CudaBackend::gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, const StepState& state,
                               const GatherParams& params, const Tensor& x, const Tensor& batch_labels) {
  launch_gather(stream(), x.dtype(), params,
                {.batch = extent(x.shape()[0]),
                 .height = extent(x.shape()[1]),
                 .width = extent(x.shape()[2]),
                 .channels = extent(x.shape()[3]),
                 .pixel_type = images.dtype(),
                 .images = images.raw_data(),
                 .labels = labels.data<std::int32_t>(),
                 .order = order.data<std::int32_t>(),
                 .order_count = order.count(),
                 .counters = state.counters.data<std::int64_t>(),
                 .x = x.raw_data(),
                 .batch_labels = batch_labels.data<std::int32_t>()});
}

void CudaBackend::advance_step(const StepState& state, std::int64_t images) {
  launch_advance_step(stream(), state.counters.data<std::int64_t>(), images);
}

void CudaBackend::add_metrics(const Tensor& rows, const StepState& state) {
  launch_add_metrics(stream(), rows.shape()[0], rows.data<double>(), state.counters.data<std::int64_t>(),
                     state.metrics.data<double>());
}

void CudaBackend::set_learning_rate(const Tensor& rates, const StepState& state) {
  launch_set_learning_rate(stream(), rates.data<float>(), rates.count(), state.counters.data<std::int64_t>(),
                           state.learning_rate.data<float>());
}

std::shared_ptr<float> CudaBackend::check_gradients(const ArenaPointers& arena, std::int64_t* counters,
                                                    bool by_neuron) {
  if (!by_neuron) {
    launch_find_bad_gradient(stream(), arena, counters);
    return nullptr;
  }
  std::shared_ptr<float> neuron_gradients = workspace<float>(static_cast<std::size_t>(arena.neurons));
  launch_neuron_gradients(stream(), arena, neuron_gradients.get(), counters);
  return neuron_gradients;
}

void CudaBackend::sgd_step(const Arena& arena, const Tensor& factors, const StepState& state, const SgdParams& params) {
  const ArenaPointers pointers = arena_pointers(arena);
  std::int64_t* const counters = state.counters.data<std::int64_t>();
  const std::shared_ptr<float> neuron_gradients =
      check_gradients(pointers, counters, params.accumulate && params.granularity == Granularity::kNeuron);
  const float* const rate = state.learning_rate.data<float>();
  if (arena.decay_scales.defined()) {
    launch_sgd_some_decay(stream(), pointers, params, factors.data<float>(), rate, arena.decay_scales.data<float>(),
                          neuron_gradients.get(), counters);
  } else {
    launch_sgd(stream(), pointers, params, factors.data<float>(), rate, neuron_gradients.get(), counters);
  }
}

void CudaBackend::adamw_step(const Arena& arena, const Tensor& factors, const Tensor& gradient_scale,
                             const StepState& state, const AdamWParams& params) {
  const ArenaPointers pointers = arena_pointers(arena);
  std::int64_t* const counters = state.counters.data<std::int64_t>();
  const std::shared_ptr<float> neuron_gradients =
      check_gradients(pointers, counters, params.accumulate && params.granularity == Granularity::kNeuron);
  const auto corrections = workspace<float>(adamw_workspace());
  launch_adamw(stream(), pointers, params,
               {.second_moments = arena.second_moments.data<float>(),
                .factors = factors.data<float>(),
                .learning_rate = state.learning_rate.data<float>(),
                .gradient_scale = gradient_scale.defined() ? gradient_scale.data<float>() : nullptr,
                .decay_scales = arena.decay_scales.defined() ? arena.decay_scales.data<float>() : nullptr,
                .neuron_gradients = neuron_gradients.get(),
                .counters = counters},
               corrections.get());
}

void CudaBackend::clip_scale(const Tensor& gradients, double max_norm, const Tensor& scale) {
  const auto parts = workspace<double>(clip_workspace(gradients.count()));
  launch_clip_scale(stream(), gradients.count(), gradients.data<float>(), max_norm, parts.get(), scale.data<float>());
}

void CudaBackend::accumulate_sums(const Arena& arena, Granularity granularity, const StepState& state) {
  const ArenaPointers pointers = arena_pointers(arena);
  std::int64_t* const counters = state.counters.data<std::int64_t>();
  std::shared_ptr<float> neuron_gradients;
  if (granularity == Granularity::kNeuron) {
    neuron_gradients = workspace<float>(static_cast<std::size_t>(pointers.neurons));
    launch_neuron_gradients(stream(), pointers, neuron_gradients.get(), counters);
  }
  launch_accumulate(stream(), pointers, neuron_gradients.get(), counters);
}

void CudaBackend::measure_layers(const Arena& arena, Granularity granularity, const Tensor& measures) {
  const auto sums = workspace<double>(measures_workspace(extent(arena.layers.count())));
  launch_measures(stream(), arena_pointers(arena), granularity, measures.data<double>(), sums.get());
}

void CudaBackend::select_layers(const Tensor& measures, const SelectionParams& params, const Tensor& factors) {
  launch_select(stream(), extent(measures.shape()[1]), params, measures.data<double>(), factors.data<float>());
}

void CudaBackend::select_random_layers(const Tensor& candidates, const RandomSelectionParams& params,
                                       const Tensor& factors) {
  const auto indices = workspace<std::int32_t>(static_cast<std::size_t>(candidates.count()));
  launch_select_random(stream(), extent(candidates.count()), candidates.data<std::int32_t>(), params, indices.get(),
                       factors.data<float>());
}

}  // namespace gradamp::GRADAMP_GPU
