// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/operation_cases.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using reference::Array;
using reference::Arrays;
using Cases = std::vector<OperationCase>;
using Variables = std::vector<Variable>;

// The step of finite differences in f32. An output of magnitude 1 is rounded to 6e-8, so a difference of a sum of some
// hundred outputs is off by about 1e-6 / (2 step). A curved function adds about step^2.
constexpr double kStep = 1e-2;

std::string join(const Shape& shape) {
  std::string text;
  for (int i = 0; i < shape.rank(); ++i) text += (i == 0 ? "" : "x") + std::to_string(shape[i]);
  return text;
}

/// The number of finite differences of a sum of products. Those of large shapes take the reference minutes, and small
/// shapes test the same loops.
std::int64_t samples_of(std::int64_t products) { return std::clamp<std::int64_t>(20'000'000 / products, 2, 60); }

Input parameter(const Shape& shape) { return {shape, Fill::kNormal, Role::kParameter}; }

// Convolution.

struct ConvSizes {
  Shape x, weight;
  Conv2dParams params;
  bool bias = false;
  double step = 0;
};

OperationCase conv_case(const ConvSizes& sizes) {
  const auto [x, weight, params, bias, step] = sizes;
  OperationCase result;
  result.operation = "conv2d";
  result.name = fmt::format("x {} weight {} stride {} padding {} dilation {} groups {}{}", join(x), join(weight),
                            params.stride, params.padding, params.dilation, params.groups, bias ? " bias" : "");
  result.inputs = {{x}, parameter(weight)};
  if (bias) result.inputs.push_back(parameter({weight[0]}));
  result.compute = [p = params](const Variables& in) {
    return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Variable(), p);
  };
  result.forward = [p = params](const Arrays& in) { return reference::conv2d(in, p); };
  result.backward = [p = params](const Arrays& in, const Array& grad_y) {
    return reference::conv2d_backward(in, grad_y, p);
  };
  result.step = step;
  result.samples = samples_of(x.count() * weight.count() / weight[3]);
  return result;
}

void add_conv_cases(Cases& cases) {
  const ConvSizes table[] = {
      // Kernels of each size at each stride, on rectangles of few channels.
      {{1, 5, 7, 3}, {8, 3, 3, 3}, {1, 1}, true, kStep},
      {{3, 5, 7, 3}, {8, 1, 1, 3}, {1, 0}, false, kStep},
      {{1, 8, 8, 8}, {20, 1, 1, 8}, {2, 0}},
      {{3, 9, 6, 8}, {3, 2, 2, 8}, {2, 0}, true},
      {{1, 9, 6, 3}, {8, 2, 2, 3}, {3, 1}, false, kStep},
      {{3, 8, 8, 3}, {8, 5, 5, 3}, {1, 2}, true},
      {{1, 5, 7, 8}, {3, 5, 5, 8}, {2, 2}},
      {{1, 8, 8, 3}, {8, 7, 7, 3}, {2, 3}},
      {{3, 9, 6, 20}, {8, 3, 3, 20}, {2, 1}},
      {{1, 5, 7, 3}, {3, 7, 7, 3}, {3, 3}, true},
      {{1, 9, 6, 3}, {20, 3, 3, 3}, {3, 0}},
      {{1, 8, 8, 3}, {8, 3, 3, 3}, {3, 0}},  // no window reads the last pixels
      {{1, 5, 7, 1}, {1, 3, 3, 1}, {1, 1}},
      // Windows with two different sides, and as large as the image with and without its padding.
      {{1, 5, 7, 3}, {4, 5, 7, 3}, {1, 0}, true},
      {{1, 3, 5, 3}, {4, 5, 7, 3}, {1, 1}},
      {{3, 5, 7, 3}, {8, 1, 3, 3}, {1, 1}},
      {{1, 8, 8, 8}, {8, 8, 8, 8}, {1, 0}},
      // Images smaller than the window, windows completely in the padding.
      {{1, 1, 1, 8}, {20, 1, 1, 8}, {1, 0}, true},
      {{3, 1, 1, 3}, {8, 3, 3, 3}, {1, 1}},
      {{1, 2, 2, 3}, {8, 3, 3, 3}, {1, 1}},
      {{1, 5, 7, 3}, {8, 1, 1, 3}, {2, 1}},
      {{1, 4, 4, 3}, {3, 2, 2, 3}, {1, 2}},
      // Dilation, with and without a stride; groups, also of unlike numbers of inputs and outputs; depthwise.
      {{2, 9, 8, 3}, {8, 3, 3, 3}, {1, 2, 2}, true, kStep},
      {{1, 9, 10, 16}, {16, 3, 3, 16}, {2, 2, 3}},
      {{2, 7, 6, 8}, {8, 2, 3, 8}, {1, 1, 2}},
      {{2, 5, 7, 6}, {9, 3, 3, 2}, {1, 1, 1, 3}, true, kStep},
      {{1, 8, 6, 64}, {32, 3, 3, 32}, {2, 1, 1, 2}},
      {{2, 6, 5, 5}, {5, 3, 3, 1}, {1, 1, 1, 5}, true},
      {{1, 9, 9, 4}, {8, 3, 3, 1}, {2, 2, 2, 4}},
      // Convolutions of networks: many channels, for which the backends have other kernels.
      {{3, 8, 8, 64}, {64, 3, 3, 64}, {1, 1}},
      {{2, 4, 4, 32}, {32, 3, 3, 32}, {1, 1}},
      {{2, 16, 16, 16}, {32, 3, 3, 16}, {2, 1}},
      {{2, 5, 7, 16}, {16, 3, 3, 16}, {1, 1}},
      {{1, 7, 9, 32}, {48, 3, 3, 32}, {1, 1}},
      {{1, 13, 13, 48}, {32, 3, 3, 48}, {1, 1}, true},
      {{2, 7, 9, 16}, {16, 3, 3, 16}, {1, 0}},
      {{1, 6, 10, 32}, {32, 3, 3, 32}, {1, 2}},
      {{3, 5, 7, 48}, {48, 3, 3, 48}, {1, 1}, true},
      {{3, 2, 2, 64}, {64, 3, 3, 64}, {1, 1}},
      {{1, 1, 1, 32}, {32, 3, 3, 32}, {1, 1}},
      {{1, 16, 16, 3}, {16, 3, 3, 3}, {1, 1}},
      {{3, 8, 8, 64}, {64, 1, 1, 64}, {1, 0}},
      {{3, 9, 7, 32}, {64, 1, 1, 32}, {2, 0}},
      // Enough pixels for the CUDA kernels' wider tiles, and enough depth for several stages of their pipeline.
      {{14, 32, 32, 64}, {40, 1, 1, 64}, {1, 0}},
      {{14, 32, 32, 128}, {80, 1, 1, 128}, {1, 0}},
  };
  for (const ConvSizes& sizes : table) cases.push_back(conv_case(sizes));
}

// Batch norm.

struct BatchNormSizes {
  Shape x;
  bool relu = false, residual = false;
  Fill fill = Fill::kNormal;
  double step = 0;
  float epsilon = 1e-5f;
};

Tensor running(const Variable& x, float value) {
  const Shape channels = {x.shape()[x.shape().rank() - 1]};
  return tensor_of(x.backend(), channels, std::vector<float>(static_cast<std::size_t>(channels.count()), value));
}

OperationCase batch_norm_case(const BatchNormSizes& sizes, bool training) {
  const BatchNormParams params{sizes.epsilon, 0.1f, sizes.relu};
  const Shape channels = {sizes.x[sizes.x.rank() - 1]};
  OperationCase result;
  result.operation = "batch_norm";
  result.name = fmt::format("{} x {}{}{}{} epsilon {}", training ? "training" : "evaluation", join(sizes.x),
                            sizes.residual ? " residual" : "", sizes.relu ? " relu" : "",
                            sizes.fill == Fill::kLargeMean ? " large mean" : "", sizes.epsilon);
  result.inputs = {{sizes.x, sizes.fill}, parameter(channels), parameter(channels)};
  if (sizes.residual) result.inputs.push_back({sizes.x});
  const float mean = sizes.fill == Fill::kLargeMean ? 999.5f : 0.25f, variance = 1.75f;
  result.compute = [params, training, mean, variance](const Variables& in) {
    const BatchNormState state{in[1], in[2], running(in[0], mean), running(in[0], variance)};
    return batch_norm(in[0], state, params, training, in.size() > 3 ? in[3] : Variable());
  };
  const auto statistics = [training, mean, variance](const Arrays& in) {
    if (training) return reference::moments(in[0]);
    const auto count = static_cast<std::size_t>(in[1].shape[0]);
    return reference::Moments{std::vector<double>(count, static_cast<double>(mean)),
                              std::vector<double>(count, static_cast<double>(variance))};
  };
  result.forward = [params, statistics](const Arrays& in) { return reference::batch_norm(in, statistics(in), params); };
  result.has_backward = training;
  result.backward = [params](const Arrays& in, const Array& grad_y) {
    return reference::batch_norm_backward(in, grad_y, params);
  };
  // Neighboring f32 values near 1000 are 6e-5 apart. The mean can be off by two or three of these, 2e-4 of the std, and
  // with it the normalized values. gamma's gradient can be off by that times the sum of the gradients.
  const bool large = sizes.fill == Fill::kLargeMean;
  if (large) result.tolerance = 3e-4;
  result.step = sizes.step;
  if (sizes.relu) {
    result.kink_distance = [params, statistics](const Arrays& in) {
      BatchNormParams without = params;
      without.relu = false;
      const Array z = reference::batch_norm(in, statistics(in), without);
      double least = 1e9;
      for (double value : z.values) least = std::min(least, std::abs(value));
      return least;
    };
    result.kink_margin = sizes.step > 0 ? 5 * sizes.step : large ? 5e-3 : 1e-5;
  }
  return result;
}

void add_batch_norm_cases(Cases& cases) {
  const BatchNormSizes table[] = {
      {{2, 3, 2, 2}, false, false, Fill::kNormal, kStep},
      {{2, 3, 2, 2}, true, false, Fill::kNormal, kStep},
      {{2, 3, 2, 2}, false, true, Fill::kNormal, kStep},
      {{2, 3, 2, 2}, true, true, Fill::kNormal, kStep},
      {{3, 5, 7, 3}},
      {{1, 5, 7, 8}, true},
      {{3, 9, 6, 20}, false, true},
      {{3, 5, 7, 20}, true, true},
      {{1, 8, 8, 64}, true, true},
      {{3, 8, 8, 64}, true},
      {{7, 20}},
      {{7, 20}, true},
      {{130, 3}, true, true},
      {{3, 1}},
      {{3, 7, 8}, true},
      {{3, 33, 31, 3}},
      {{3, 33, 31, 3}, true},
      {{3, 33, 31, 8}, true, true},
      {{3, 33, 31, 20}, true},
      {{8300, 3}, true, true},  // on the GPU more than 64 groups of 128 rows, which several blocks combine
      {{3, 5, 7, 3}, false, false, Fill::kNormal, 0, 1e-2f},
      {{1, 5, 7, 3}, true, false, Fill::kLargeMean},
      {{3, 5, 7, 20}, false, true, Fill::kLargeMean},
      {{3, 33, 31, 3}, false, false, Fill::kLargeMean},
  };
  for (const BatchNormSizes& sizes : table) {
    cases.push_back(batch_norm_case(sizes, true));
    cases.push_back(batch_norm_case(sizes, false));
    cases.back().step = 0;
  }
  // On the GPU more than 32 blocks combine the groups. Finite differences of sums this long are too inexact for their
  // tolerance.
  cases.push_back(batch_norm_case({{262'300, 1}}, true));
  cases.back().is_derivative = false;
}

/// A batch norm behind a convolution, which computes the moments for it.
OperationCase batch_norm_of_conv_case(const Shape& x, const Shape& weight, const Conv2dParams& params) {
  const BatchNormParams norm_params;
  const Shape channels = {weight[0]};
  OperationCase result;
  result.operation = "batch_norm";
  result.name = fmt::format("training of conv2d x {} weight {} stride {}", join(x), join(weight), params.stride);
  result.inputs = {{x}, parameter(weight), parameter(channels), parameter(channels)};
  result.compute = [=](const Variables& in) {
    const Variable y = conv2d(in[0], in[1], {}, params);
    const BatchNormState state{in[2], in[3], running(y, 0.25f), running(y, 1.75f)};
    return batch_norm(y, state, norm_params, true);
  };
  result.forward = [=](const Arrays& in) {
    const Array y = reference::conv2d({in[0], in[1]}, params);
    return reference::batch_norm({y, in[2], in[3]}, reference::moments(y), norm_params);
  };
  result.backward = [=](const Arrays& in, const Array& grad) {
    const Array y = reference::conv2d({in[0], in[1]}, params);
    const Arrays norm = reference::batch_norm_backward({y, in[2], in[3]}, grad, norm_params);
    const Arrays conv = reference::conv2d_backward({in[0], in[1]}, norm[0], params);
    return Arrays{conv[0], conv[1], norm[1], norm[2]};
  };
  result.is_chain = true;
  result.samples = 10;
  return result;
}

void add_batch_norm_of_conv_cases(Cases& cases) {
  cases.push_back(batch_norm_of_conv_case({1, 5, 7, 3}, {8, 3, 3, 3}, {1, 1}));
  cases.push_back(batch_norm_of_conv_case({3, 5, 7, 8}, {20, 3, 3, 8}, {2, 1}));
  cases.push_back(batch_norm_of_conv_case({3, 9, 10, 16}, {72, 1, 1, 16}, {1, 0}));  // 270 pixels: three groups
  cases.push_back(batch_norm_of_conv_case({1, 8, 16, 8}, {8, 3, 3, 8}, {1, 1}));     // 128: one whole group
}

// Elementwise operations.

/// More elements than one thread processes.
const Shape kLarge = {3, 33, 31, 8};

void add_elementwise_cases(Cases& cases) {
  for (const Shape& shape :
       {Shape{3, 5, 7, 3}, Shape{1, 3}, Shape{3, 9, 6, 20}, Shape{130}, Shape{1, 5, 7, 64}, kLarge}) {
    const double step = shape.count() <= 315 ? kStep : 0;
    OperationCase relu_case;
    relu_case.operation = "relu";
    relu_case.name = join(shape);
    relu_case.inputs = {{shape, Fill::kSpaced}};
    relu_case.compute = [](const Variables& in) { return relu(in[0]); };
    relu_case.forward = [](const Arrays& in) { return reference::relu(in[0]); };
    relu_case.backward = [](const Arrays& in, const Array& grad_y) {
      Array grad_x = grad_y;
      for (std::int64_t i = 0; i < grad_x.shape.count(); ++i) grad_x.at(i) *= in[0].at(i) > 0 ? 1 : 0;
      return Arrays{grad_x};
    };
    relu_case.step = step;
    cases.push_back(relu_case);

    OperationCase add_case;
    add_case.operation = "add";
    add_case.name = join(shape);
    add_case.inputs = {{shape}, {shape}};
    add_case.compute = [](const Variables& in) { return add(in[0], in[1]); };
    add_case.forward = [](const Arrays& in) { return reference::add(in[0], in[1]); };
    add_case.backward = [](const Arrays&, const Array& grad_sum) { return Arrays{grad_sum, grad_sum}; };
    add_case.step = step;
    cases.push_back(add_case);

    OperationCase mul_case;
    mul_case.operation = "mul";
    mul_case.name = join(shape);
    mul_case.inputs = {{shape}, {shape}};
    mul_case.compute = [](const Variables& in) { return mul(in[0], in[1]); };
    mul_case.forward = [](const Arrays& in) { return reference::mul(in[0], in[1]); };
    mul_case.backward = [](const Arrays& in, const Array& grad) {
      return Arrays{reference::mul(grad, in[1]), reference::mul(grad, in[0])};
    };
    mul_case.step = step;
    cases.push_back(mul_case);

    OperationCase scale_case;
    scale_case.operation = "scale_grad";
    scale_case.name = join(shape);
    scale_case.inputs = {{shape}};
    scale_case.compute = [](const Variables& in) {
      return scale_grad(in[0], tensor_of(in[0].backend(), {3}, {0.5f, 2.0f, 3.0f}), 2);
    };
    scale_case.forward = [](const Arrays& in) { return in[0]; };
    scale_case.backward = [](const Arrays&, const Array& grad_y) {
      Array grad_x = grad_y;
      for (double& value : grad_x.values) value *= 3;
      return Arrays{grad_x};
    };
    scale_case.is_derivative = false;
    cases.push_back(scale_case);

    OperationCase cast_case;
    cast_case.operation = "cast";
    cast_case.name = join(shape) + " to bf16 and back";
    cast_case.inputs = {parameter(shape)};
    cast_case.compute = [](const Variables& in) { return cast(cast(in[0], DType::kBF16), DType::kF32); };
    cast_case.forward = [](const Arrays& in) { return reference::round_to_bf16(in[0]); };
    cast_case.backward = [](const Arrays&, const Array& grad_y) { return Arrays{reference::round_to_bf16(grad_y)}; };
    cast_case.is_derivative = false;
    cast_case.tolerance = 1e-9;  // the same bits
    cases.push_back(cast_case);

    for (const float probability : {0.0f, 0.3f, 0.5f}) {
      const DropoutParams params{probability, 7};
      OperationCase dropout_case;
      dropout_case.operation = "dropout";
      dropout_case.name = fmt::format("{} probability {}", join(shape), probability);
      dropout_case.inputs = {{shape}};
      dropout_case.compute = [params](const Variables& in) {
        return dropout(in[0], params, make_step_state(in[0].backend(), {.seed = 11, .step = 5}));
      };
      dropout_case.forward = [params](const Arrays& in) { return reference::dropout(in[0], params, 11, 5); };
      dropout_case.backward = [params](const Arrays&, const Array& grad_y) {
        return Arrays{reference::dropout(grad_y, params, 11, 5)};
      };
      dropout_case.step = step;
      cases.push_back(dropout_case);
    }
  }
}

// Elementwise functions of core/unary_functions.h.

struct UnaryRow {
  const char* operation;
  Variable (*compute)(const Variable& x);
  double (*reference)(double x);
};

const UnaryRow kUnaryRows[] = {
    {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"gelu", gelu, [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }},
};

OperationCase unary_case(const UnaryRow& row, const Shape& shape, Fill fill) {
  OperationCase result;
  result.operation = row.operation;
  result.name = join(shape) + (fill == Fill::kHuge ? " huge" : "");
  result.inputs = {{shape, fill}};
  result.compute = [row](const Variables& in) { return row.compute(in[0]); };
  result.forward = [row](const Arrays& in) {
    Array y = in[0];
    for (double& value : y.values) value = row.reference(value);
    return y;
  };
  // Central differences of the one element that an output depends on: exact to about 1e-9.
  result.backward = [row](const Arrays& in, const Array& grad_y) {
    Array grad_x = grad_y;
    for (std::int64_t i = 0; i < grad_x.shape.count(); ++i) {
      const double x = in[0].at(i), step = 1e-6 * std::max(1.0, std::abs(x));
      grad_x.at(i) *= (row.reference(x + step) - row.reference(x - step)) / (2 * step);
    }
    return Arrays{grad_x};
  };
  result.step = fill == Fill::kNormal && shape.count() <= 315 ? kStep : 0;
  return result;
}

void add_unary_cases(Cases& cases) {
  for (const UnaryRow& row : kUnaryRows) {
    for (const Shape& shape : {Shape{3, 5, 7, 3}, Shape{1, 3}, Shape{130}, Shape{1, 5, 7, 64}, kLarge})
      cases.push_back(unary_case(row, shape, Fill::kNormal));
    cases.push_back(unary_case(row, {3, 5, 7, 8}, Fill::kHuge));
  }
}

// Softmax.

void add_softmax_cases(Cases& cases) {
  for (const Shape& shape : {Shape{3, 10}, Shape{7, 3}, Shape{5}, Shape{1, 1}, Shape{2, 3, 33}, Shape{3, 5, 7, 3},
                             Shape{9, 130}, Shape{130, 31}, Shape{1, 1000}, Shape{2, 5, 3, 64}}) {
    for (const Fill fill : {Fill::kNormal, Fill::kHuge}) {
      OperationCase result;
      result.operation = "softmax";
      result.name = join(shape) + (fill == Fill::kHuge ? " huge" : "");
      result.inputs = {{shape, fill}};
      result.compute = [](const Variables& in) { return softmax(in[0]); };
      result.forward = [](const Arrays& in) { return reference::softmax(in[0]); };
      result.backward = [](const Arrays& in, const Array& grad_y) {
        return Arrays{reference::softmax_backward(in[0], grad_y)};
      };
      // Of huge numbers a share is 1 and the others are below f32's range: no gradient is left to compare.
      result.has_backward = fill != Fill::kHuge;
      result.is_derivative = result.has_backward;
      result.step = fill == Fill::kNormal && shape.count() <= 315 ? kStep : 0;
      cases.push_back(result);
    }
  }
}

// Concatenation.

void add_concat_cases(Cases& cases) {
  const std::vector<Shape> table[] = {
      {{2, 5, 7, 3}, {2, 5, 7, 8}},
      {{3, 10}, {3, 1}, {3, 5}},
      {{5}, {3}},
      {{7, 3, 4}},
      {{1, 2, 3, 1}, {1, 2, 3, 1}, {1, 2, 3, 1}, {1, 2, 3, 1}},
      // Vectors: channels of which all are multiples of 8, and the rest of an 8.
      {{2, 5, 7, 16}, {2, 5, 7, 64}, {2, 5, 7, 8}},
      {{3, 9, 6, 8}, {3, 9, 6, 12}},
      {{3, 33, 31, 8}, {3, 33, 31, 4}},
      {{70, 130}, {70, 254}},
  };
  for (const std::vector<Shape>& shapes : table) {
    OperationCase result;
    result.operation = "concat";
    std::int64_t count = 0;
    for (const Shape& shape : shapes) {
      result.name += (count == 0 ? "" : " and ") + join(shape);
      result.inputs.push_back({shape});
      count += shape.count();
    }
    result.compute = [](const Variables& in) { return concat(in); };
    result.forward = [](const Arrays& in) { return reference::concat(in); };
    result.backward = [](const Arrays& in, const Array& grad_y) { return reference::concat_backward(in, grad_y); };
    result.step = count <= 1000 ? kStep : 0;
    cases.push_back(result);
  }

  OperationCase twice;
  twice.operation = "concat";
  twice.name = "the same twice";
  twice.inputs = {{{3, 5}}};
  twice.compute = [](const Variables& in) { return concat({in[0], in[0]}); };
  twice.forward = [](const Arrays& in) { return reference::concat({in[0], in[0]}); };
  twice.step = kStep;
  cases.push_back(twice);
}

// Pooling and reshaping.

OperationCase pool_case(bool maximum, const Shape& shape, const Pool2dParams& params, Fill fill = Fill::kSpaced) {
  OperationCase result;
  result.operation = maximum ? "max_pool2d" : "avg_pool2d";
  result.name =
      fmt::format("{} kernel {} stride {} padding {}{}", join(shape), params.kernel, params.stride, params.padding,
                  fill == Fill::kTies       ? " ties"
                  : fill == Fill::kNegative ? " negative"
                                            : "");
  result.inputs = {{shape, fill}};
  result.step = shape.count() <= 315 ? kStep : 0;
  if (maximum) {
    result.compute = [params](const Variables& in) { return max_pool2d(in[0], params); };
    result.forward = [params](const Arrays& in) { return reference::max_pool2d(in[0], params); };
    result.backward = [params](const Arrays& in, const Array& grad_y) {
      return Arrays{reference::max_pool2d_backward(in[0], grad_y, params)};
    };
    result.is_derivative = fill != Fill::kTies;
  } else {
    result.compute = [params](const Variables& in) { return avg_pool2d(in[0], params); };
    result.forward = [params](const Arrays& in) { return reference::avg_pool2d(in[0], params); };
  }
  return result;
}

void add_pool_cases(Cases& cases) {
  const std::pair<Shape, Pool2dParams> table[] = {
      {{1, 8, 8, 3}, {2, 2, 0}}, {{3, 5, 7, 8}, {2, 2, 0}},  {{1, 9, 6, 20}, {3, 2, 1}}, {{3, 5, 7, 3}, {3, 1, 1}},
      {{1, 5, 7, 3}, {2, 1, 1}}, {{3, 8, 8, 3}, {3, 3, 0}},  {{1, 5, 7, 8}, {2, 3, 1}},  {{1, 9, 6, 3}, {5, 2, 2}},
      {{1, 8, 8, 3}, {7, 1, 3}}, {{3, 5, 5, 3}, {5, 1, 0}},  {{1, 5, 7, 3}, {7, 2, 1}},  {{1, 5, 7, 3}, {1, 1, 0}},
      {{1, 5, 7, 3}, {1, 2, 0}}, {{2, 4, 4, 64}, {2, 2, 0}}, {{3, 1, 1, 8}, {2, 2, 1}},
  };
  for (const auto& [shape, params] : table) {
    cases.push_back(pool_case(true, shape, params));
    cases.push_back(pool_case(true, shape, params, Fill::kTies));
    cases.push_back(pool_case(false, shape, params));
    if (params.padding > 0) cases.push_back(pool_case(true, shape, params, Fill::kNegative));
  }
  for (const Shape& shape : {Shape{3, 5, 7, 20}, Shape{1, 4, 4, 64}, Shape{3, 1, 1, 3}, Shape{2, 8, 8, 8}}) {
    OperationCase pool;
    pool.operation = "global_avg_pool";
    pool.name = join(shape);
    pool.inputs = {{shape}};
    pool.compute = [](const Variables& in) { return global_avg_pool(in[0]); };
    pool.forward = [](const Arrays& in) { return reference::global_avg_pool(in[0]); };
    pool.step = kStep;
    cases.push_back(pool);
  }
}

void add_shape_cases(Cases& cases) {
  const std::pair<Shape, std::int64_t> table[] = {
      {{3, 5, 7, 8}, 16}, {{1, 8, 8, 16}, 32}, {{1, 9, 6, 3}, 3}, {{3, 1, 1, 3}, 5}, {{1, 8, 9, 20}, 24}};
  for (const auto& [shape, channels] : table) {
    OperationCase shortcut_case;
    shortcut_case.operation = "zero_pad_shortcut";
    shortcut_case.name = fmt::format("{} to {} channels", join(shape), channels);
    shortcut_case.inputs = {{shape}};
    shortcut_case.compute = [c = channels](const Variables& in) { return zero_pad_shortcut(in[0], c); };
    shortcut_case.forward = [c = channels](const Arrays& in) { return reference::zero_pad_shortcut(in[0], c); };
    shortcut_case.step = kStep;
    cases.push_back(shortcut_case);
  }
  for (const Shape& shape : {Shape{3, 5, 7, 3}, Shape{1, 8}, Shape{3}, Shape{2, 3, 4}}) {
    OperationCase flatten_case;
    flatten_case.operation = "flatten";
    flatten_case.name = join(shape);
    flatten_case.inputs = {{shape}};
    flatten_case.compute = [](const Variables& in) { return flatten(in[0]); };
    flatten_case.forward = [](const Arrays& in) {
      return Array(Shape{in[0].shape[0], in[0].shape.count() / in[0].shape[0]}, in[0].values);
    };
    flatten_case.step = kStep;
    cases.push_back(flatten_case);
  }
}

// Linear and the loss.

void add_linear_cases(Cases& cases) {
  struct Sizes {
    std::int64_t rows, in, out;
  };
  for (const auto& [rows, in, out] : {Sizes{1, 130, 10}, Sizes{3, 130, 10}, Sizes{3, 64, 100}, Sizes{5, 3, 1},
                                      Sizes{130, 8, 3}, Sizes{1, 1, 1}, Sizes{7, 20, 20},
                                      // On the GPU: many rows; then sizes above kMaxSmallMultiplyAdds, for the
                                      // convolution kernels: several tiles, and rows that are split into parts.
                                      Sizes{600, 68, 36}, Sizes{259, 260, 251}, Sizes{600, 217, 132}}) {
    for (const bool bias : {true, false}) {
      OperationCase result;
      result.operation = "linear";
      result.name = fmt::format("{}x{} to {}{}", rows, in, out, bias ? " bias" : "");
      result.inputs = {{{rows, in}}, parameter({out, in})};
      if (bias) result.inputs.push_back(parameter({out}));
      result.compute = [](const Variables& in_) {
        return linear(in_[0], in_[1], in_.size() > 2 ? in_[2] : Variable());
      };
      result.forward = [](const Arrays& in_) { return reference::linear(in_); };
      result.backward = [](const Arrays& in_, const Array& grad_y) { return reference::linear_backward(in_, grad_y); };
      result.step = rows * out <= 100 ? kStep : 0;
      result.samples = samples_of(rows * in * out);
      cases.push_back(result);
    }
  }
}

void add_loss_cases(Cases& cases, double smoothing) {
  for (const Fill fill : {Fill::kNormal, Fill::kHuge}) {
    for (const Shape& shape : {Shape{3, 10}, Shape{1, 100}, Shape{7, 3}, Shape{130, 10}, Shape{2, 1}, Shape{2100, 3}}) {
      // With 2100 rows and huge logits, a few gradients cancel almost completely in f32.
      // The many rows take seconds, and only the sum over the blocks, which smoothing shares, needs them.
      if ((fill == Fill::kHuge || smoothing > 0) && shape[0] > 1000) continue;
      std::vector<std::int32_t> labels;
      for (std::int64_t n = 0; n < shape[0]; ++n) labels.push_back(static_cast<std::int32_t>((7 * n + 2) % shape[1]));
      OperationCase result;
      result.operation = "softmax_cross_entropy";
      result.name = fmt::format("{}{}{}", join(shape), fill == Fill::kHuge ? " huge" : "",
                                smoothing > 0 ? fmt::format(" smoothing {}", smoothing) : "");
      result.inputs = {{shape, fill, Role::kParameter}};  // logits are f32
      result.compute = [labels, smoothing](const Variables& in) {
        Backend& backend = in[0].backend();
        const Tensor targets = Tensor::from_host(backend, {in[0].shape()[0]}, labels);
        return softmax_cross_entropy(in[0], targets, make_step_state(backend), {smoothing});
      };
      result.forward = [labels, smoothing](const Arrays& in) {
        const double sum = reference::cross_entropy_sum(in[0], labels, smoothing);
        return Array(Shape{}, {sum / static_cast<double>(in[0].shape[0])});
      };
      result.step = fill == Fill::kNormal && shape.count() <= 100 ? kStep : 0;
      cases.push_back(result);
    }
  }
}

// The batch of images.

struct GatherSizes {
  Shape images;  // (M, H, W, C)
  int padding = 4;
  bool augment = true, flip = true;
  int cutout = 0;
};

/// Of `images` in an order that has some twice; the batch begins inside it.
OperationCase gather_case(const GatherSizes& sizes, DType pixel_type) {
  constexpr std::int64_t kCount = 5;
  const StepNumbers numbers{.seed = 0x1234567890, .epoch = 3, .position = 2};
  const bool is_u8 = pixel_type == DType::kU8;
  std::vector<std::int32_t> order(kCount + 3);
  for (std::size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<std::int32_t>((7 * i + 1) % static_cast<std::size_t>(sizes.images[0]));
  const std::vector<std::int32_t> labels(static_cast<std::size_t>(sizes.images[0]), 1);
  GatherParams params{sizes.augment,       sizes.padding, sizes.flip, {0.5f, 0.25f, -0.75f, 0.375f},
                      {4, 3.5f, 0.25f, 2}, sizes.cutout};
  OperationCase result;
  result.operation = "gather_batch";
  result.name = fmt::format("{} images {} padding {}{}{}{}", name_of(pixel_type), join(sizes.images), sizes.padding,
                            sizes.augment ? " augmented" : "", sizes.flip ? " flip" : "",
                            sizes.cutout > 0 ? fmt::format(" cutout {}", sizes.cutout) : "");
  result.inputs = {{sizes.images, is_u8 ? Fill::kBytes : Fill::kNormal, Role::kParameter}};
  result.compute = [=](const Variables& in) {
    Backend& backend = in[0].backend();
    Tensor images = in[0].value();
    if (is_u8) {
      const std::vector<float> values = images.to_host<float>();
      images = Tensor::from_host(backend, images.shape(), std::vector<std::uint8_t>(values.begin(), values.end()));
    }
    return Variable(gather_batch(images, Tensor::from_host(backend, {images.shape()[0]}, labels),
                                 Tensor::from_host(backend, {static_cast<std::int64_t>(order.size())}, order), kCount,
                                 make_step_state(backend, numbers), params)
                        .images);
  };
  result.forward = [=](const Arrays& in) {
    const reference::GatherPlace place{static_cast<std::uint64_t>(numbers.seed),
                                       static_cast<std::uint64_t>(numbers.epoch),
                                       static_cast<std::uint64_t>(numbers.position)};
    return reference::gather_images(in[0], is_u8 ? 255 : 1, order, kCount, place, params);
  };
  result.has_backward = false;
  result.is_derivative = false;
  result.passes_nan = !is_u8 && !sizes.augment && sizes.cutout == 0;
  result.tolerance = 1e-6;  // of a quotient, a difference and a product
  return result;
}

void add_gather_cases(Cases& cases) {
  for (const DType pixel_type : {DType::kU8, DType::kF32}) {
    for (const std::int64_t channels : {1, 2, 3, 4}) {
      // Wide, high and both even, so that x is stored by elements and by vectors; a crop wholly outside of the image.
      for (const GatherSizes& sizes :
           {GatherSizes{{3, 5, 7, channels}}, GatherSizes{{2, 9, 4, channels}, 2, true, false},
            GatherSizes{{4, 8, 16, channels}, 3}, GatherSizes{{3, 1, 3, channels}, 1},
            GatherSizes{{3, 7, 5, channels}, 4, false}, GatherSizes{{2, 9, 4, channels}, 2, true, true, 3},
            GatherSizes{{4, 8, 16, channels}, 3, false, false, 6}})
        cases.push_back(gather_case(sizes, pixel_type));
    }
  }
}

std::vector<float> fill_values(const Input& input, std::uint32_t substream) {
  const std::int64_t count = input.shape.count();
  std::vector<float> values = normal_values(count, substream);
  switch (input.fill) {
    case Fill::kNormal: return values;
    case Fill::kLargeMean: {
      for (float& value : values) value += 1000;
      return values;
    }
    case Fill::kHuge: {
      for (float& value : values) value *= 10000;
      return values;
    }
    case Fill::kBytes: {
      for (float& value : values) value = std::clamp(std::round(128 + 80 * value), 0.0f, 255.0f);
      return values;
    }
    case Fill::kTies: {
      for (float& value : values) value = value < -0.5f ? -1.0f : value > 0.5f ? 1.0f : 0.0f;
      return values;
    }
    case Fill::kSpaced:
    case Fill::kNegative: {
      std::vector<std::size_t> places(values.size());
      std::iota(places.begin(), places.end(), std::size_t{0});
      std::sort(places.begin(), places.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
      const std::int64_t zero = input.fill == Fill::kSpaced ? count / 2 : count + 20;
      std::vector<float> spaced(values.size());
      for (std::size_t rank = 0; rank < places.size(); ++rank) {
        spaced[places[rank]] = 0.05f * (static_cast<float>(static_cast<std::int64_t>(rank) - zero) + 0.5f);
      }
      return spaced;
    }
  }
  return values;
}

}  // namespace

const std::vector<OperationCase>& operation_cases() {
  static const Cases all = [] {
    Cases cases;
    add_conv_cases(cases);
    add_batch_norm_cases(cases);
    add_batch_norm_of_conv_cases(cases);
    add_elementwise_cases(cases);
    add_unary_cases(cases);
    add_softmax_cases(cases);
    add_concat_cases(cases);
    add_pool_cases(cases);
    add_shape_cases(cases);
    add_linear_cases(cases);
    add_loss_cases(cases, 0);
    add_loss_cases(cases, 0.1);
    add_gather_cases(cases);
    return cases;
  }();
  return all;
}

std::vector<std::vector<float>> input_values(const OperationCase& operation_case, bool rounded) {
  for (std::uint32_t attempt = 0; attempt < 1000; ++attempt) {
    std::vector<std::vector<float>> values;
    Arrays arrays;
    for (const Input& input : operation_case.inputs) {
      values.push_back(fill_values(input, 16 * attempt + static_cast<std::uint32_t>(values.size())));
      if (rounded) round_to_bf16(values.back());
      arrays.emplace_back(input.shape, to_double(values.back()));
    }
    if (!operation_case.kink_distance || operation_case.kink_distance(arrays) > operation_case.kink_margin) {
      return values;
    }
  }
  fail("{} {}: no inputs as far from a kink as {}", operation_case.operation, operation_case.name,
       operation_case.kink_margin);
}

}  // namespace gradamp::test
