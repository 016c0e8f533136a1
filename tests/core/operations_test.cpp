// SPDX-License-Identifier: MIT
// The arguments that the operations refuse, and the messages. Their results are tested in tests/kernels.
#include "gradamp/core/operations.h"

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class OperationsTest : public DeviceTest {
 protected:
  Variable variable(const Shape& shape) { return Variable(Tensor::zeros(backend(), shape)); }
  Tensor integers(const Shape& shape) { return Tensor::zeros(backend(), shape, DType::kI32); }
};

TEST_P(OperationsTest, Conv2dRefuses) {
  const Variable x = variable({2, 8, 6, 64}), weight = variable({8, 3, 3, 64});
  const auto error = [](const Variable& in, const Variable& filter, const Variable& bias, Conv2dParams params) {
    return error_of([&] { conv2d(in, filter, bias, params); });
  };
  EXPECT_EQ(error(x, weight, {}, {1, 1}), "");
  EXPECT_EQ(error(variable({2, 8, 6, 32}), weight, {}, {}), "conv2d: expected input channels 64, got 32");
  EXPECT_EQ(error(variable({2, 64}), weight, {}, {}), "conv2d: expected input of 4 dimensions, got shape [2, 64]");
  EXPECT_EQ(error(x, variable({8, 64}), {}, {}), "conv2d: expected weight of 4 dimensions, got shape [8, 64]");
  EXPECT_EQ(error(x, weight, variable({9}), {}), "conv2d: expected bias of shape [8], got [9]");
  EXPECT_EQ(error(x, weight, variable({1, 8}), {}), "conv2d: expected bias of shape [8], got [1, 8]");
  EXPECT_EQ(error(x, weight, {}, {0, 1}), "conv2d: expected stride >= 1 and padding >= 0, got 0 and 1");
  EXPECT_EQ(error(x, weight, {}, {1, -1}), "conv2d: expected stride >= 1 and padding >= 0, got 1 and -1");
  EXPECT_EQ(error(x, weight, {}, {1, 1, 0}), "conv2d: expected dilation >= 1, got 0");
  EXPECT_EQ(error(x, weight, {}, {1, 1, 4}), "conv2d: expected a window of 1 to 8 pixels, got 9");
  EXPECT_EQ(error(x, variable({8, 3, 3, 32}), {}, {1, 1, 1, 2}), "");
  EXPECT_EQ(error(x, weight, {}, {1, 1, 1, 2}), "conv2d: expected input channels 128, got 64");
  EXPECT_EQ(error(x, weight, {}, {1, 1, 1, 3}), "conv2d: expected groups that divide the 8 output channels, got 3");
  EXPECT_EQ(error(x, weight, {}, {1, 1, 1, 0}), "conv2d: expected groups that divide the 8 output channels, got 0");
  EXPECT_EQ(error(x, variable({8, 9, 3, 64}), {}, {}), "conv2d: expected a window of 1 to 8 pixels, got 9");
  EXPECT_EQ(error(x, variable({8, 3, 9, 64}), {}, {1, 1}), "conv2d: expected a window of 1 to 8 pixels, got 9");
  EXPECT_EQ(error(x, variable({8, 0, 3, 64}), {}, {}),
            "conv2d: expected weight with elements, got shape [8, 0, 3, 64]");
}

TEST_P(OperationsTest, BatchNormRefuses) {
  const auto error = [&](const Shape& x, const Shape& gamma, const Shape& beta, const Shape& mean,
                         const Shape& variance, const Variable& residual) {
    const BatchNormState state{variable(gamma), variable(beta), Tensor::zeros(backend(), mean),
                               Tensor::zeros(backend(), variance)};
    return error_of([&] { batch_norm(variable(x), state, {}, true, residual); });
  };
  const Shape x = {2, 5, 7, 8}, good = {8}, bad = {9};
  EXPECT_EQ(error(x, good, good, good, good, {}), "");
  EXPECT_EQ(error({8}, good, good, good, good, {}),
            "batch_norm: expected an input of 2 dimensions or more, got shape [8]");
  EXPECT_EQ(error(x, bad, good, good, good, {}), "batch_norm: expected gamma of shape [8], got [9]");
  EXPECT_EQ(error(x, good, bad, good, good, {}), "batch_norm: expected beta of shape [8], got [9]");
  EXPECT_EQ(error(x, good, good, bad, good, {}), "batch_norm: expected running mean of shape [8], got [9]");
  EXPECT_EQ(error(x, good, good, good, bad, {}), "batch_norm: expected running variance of shape [8], got [9]");
  EXPECT_EQ(error(x, good, good, good, good, variable({2, 5, 7, 9})),
            "batch_norm: expected residual of shape [2, 5, 7, 8], got [2, 5, 7, 9]");
  EXPECT_EQ(error({1, 8}, good, good, good, good, {}),
            "batch_norm: expected more than one value a channel in training, got shape [1, 8]");
}

TEST_P(OperationsTest, BatchNormInEvaluationHasNoBackward) {
  const Variable gamma = parameter_of(backend(), {8}, std::vector<float>(8, 1.0f));
  const BatchNormState state{gamma, variable({8}), Tensor::zeros(backend(), {8}), Tensor::zeros(backend(), {8})};
  const auto evaluate = [&] { return batch_norm(variable({1, 8}), state, {}, false); };
  EXPECT_EQ(error_of(evaluate), "batch_norm: evaluation has no backward; hold a NoGrad");
  const NoGrad guard;
  EXPECT_EQ(error_of(evaluate), "");
}

TEST_P(OperationsTest, PoolingRefuses) {
  const auto error = [&](const Shape& x, const Pool2dParams& params) {
    const std::string maximum = error_of([&] { max_pool2d(variable(x), params); });
    const std::string average = error_of([&] { avg_pool2d(variable(x), params); });
    if (maximum.empty() || average.empty()) return maximum + average;
    EXPECT_EQ(maximum.substr(0, 12), "max_pool2d: ");
    EXPECT_EQ(average.substr(0, 12), "avg_pool2d: ");
    EXPECT_EQ(maximum.substr(12), average.substr(12));
    return maximum.substr(12);
  };
  EXPECT_EQ(error({2, 8, 6, 3}, {3, 2, 1}), "");
  EXPECT_EQ(error({2, 8}, {2, 2, 0}), "expected input of 4 dimensions, got shape [2, 8]");
  EXPECT_EQ(error({2, 8, 6, 3}, {3, 2, 2}), "expected padding of at most half the window 3, got 2");
  EXPECT_EQ(error({2, 8, 6, 3}, {7, 2, 0}), "expected a window of 1 to 6 pixels, got 7");
  EXPECT_EQ(error({2, 8, 6, 3}, {0, 2, 0}), "expected a window of 1 to 8 pixels, got 0");
  EXPECT_EQ(error({2, 8, 6, 3}, {2, 0, 0}), "expected stride >= 1 and padding >= 0, got 0 and 0");
  EXPECT_EQ(error({2, 8, 6, 3}, {2, 1, -1}), "expected stride >= 1 and padding >= 0, got 1 and -1");
  EXPECT_EQ(error_of([&] {
              global_avg_pool(variable({2, 8}));
            }),
            "global_avg_pool: expected input of 4 dimensions, got shape [2, 8]");
}

TEST_P(OperationsTest, ShapeOperationsRefuse) {
  EXPECT_EQ(error_of([&] {
              add(variable({2, 3}), variable({3, 2}));
            }),
            "add: expected second operand of shape [2, 3], got [3, 2]");
  EXPECT_EQ(error_of([&] {
              mul(variable({2, 3}), variable({3, 2}));
            }),
            "mul: expected second operand of shape [2, 3], got [3, 2]");
  EXPECT_EQ(error_of([&] { softmax(variable({})); }),
            "softmax: expected an input of 1 dimension or more, got a scalar");
  EXPECT_EQ(error_of([&] { flatten(variable({})); }),
            "flatten: expected an input of 1 dimension or more, got a scalar");
  EXPECT_EQ(error_of([&] {
              zero_pad_shortcut(variable({2, 8}), 8);
            }),
            "zero_pad_shortcut: expected input of 4 dimensions, got shape [2, 8]");
  EXPECT_EQ(error_of([&] {
              zero_pad_shortcut(variable({2, 8, 8, 16}), 19);
            }),
            "zero_pad_shortcut: expected an even number of channels added to 16, got 19 channels");
  EXPECT_EQ(error_of([&] {
              zero_pad_shortcut(variable({2, 8, 8, 16}), 14);
            }),
            "zero_pad_shortcut: expected an even number of channels added to 16, got 14 channels");
  const Tensor factors = Tensor::zeros(backend(), {3});
  EXPECT_EQ(error_of([&] { scale_grad(variable({2}), factors, 3); }), "scale_grad: expected an index below 3, got 3");
  EXPECT_NE(error_of([&] { scale_grad(variable({2}), factors, -1); }), "");
}

TEST_P(OperationsTest, ConcatRefuses) {
  const Variable x = variable({2, 4, 4, 3});
  EXPECT_EQ(error_of([&] { concat({}); }), "concat: expected at least one input, got none");
  EXPECT_EQ(error_of([&] { concat({variable({})}); }), "concat: expected inputs of 1 dimension or more, got a scalar");
  EXPECT_EQ(error_of([&] { concat({x, variable({2, 4, 4, 5})}); }), "");
  EXPECT_EQ(error_of([&] {
              concat({x, x, variable({2, 4, 5, 3})});
            }),
            "concat: expected input 2 of shape [2, 4, 4, 3], got [2, 4, 5, 3]");
  EXPECT_EQ(error_of([&] {
              concat({x, variable({2, 3})});
            }),
            "concat: expected input 1 of 4 dimensions, got shape [2, 3]");
  EXPECT_EQ(error_of([&] { concat({x, x, {}}); }), "concat: expected input 2, got an undefined tensor");
  EXPECT_EQ(error_of([&] {
              concat({x, variable({2, 4, 4, 0})});
            }),
            "concat: expected input 1 with elements, got shape [2, 4, 4, 0]");
}

TEST_P(OperationsTest, ElementTypesAreRefused) {
  const Variable f32 = variable({6}), i32{integers({6})};
  const Variable bf16(Tensor::zeros(backend(), {6}, DType::kBF16));
  EXPECT_EQ(error_of([&] { mul(i32, i32); }), "mul: expected first operand of f32 or bf16, got i32");
  EXPECT_EQ(error_of([&] { mul(f32, bf16); }), "mul: expected second operand of f32, got bf16");
  EXPECT_EQ(error_of([&] { sigmoid(i32); }), "sigmoid: expected input of f32 or bf16, got i32");
  EXPECT_EQ(error_of([&] { gelu(i32); }), "gelu: expected input of f32 or bf16, got i32");
  EXPECT_EQ(error_of([&] { softmax(i32); }), "softmax: expected input of f32 or bf16, got i32");
  EXPECT_EQ(error_of([&] { concat({i32, i32}); }), "concat: expected input 0 of f32 or bf16, got i32");
  EXPECT_EQ(error_of([&] { concat({f32, bf16}); }), "concat: expected input 1 of f32, got bf16");
}

TEST_P(OperationsTest, LinearRefuses) {
  const Variable x = variable({2, 8}), weight = variable({10, 8});
  EXPECT_EQ(error_of([&] { linear(x, weight, variable({10})); }), "");
  EXPECT_EQ(error_of([&] { linear(variable({2, 9}), weight, {}); }), "linear: expected 8 input features, got 9");
  EXPECT_EQ(error_of([&] {
              linear(variable({2, 2, 2, 8}), weight, {});
            }),
            "linear: expected input of 2 dimensions, got shape [2, 2, 2, 8]");
  EXPECT_EQ(error_of([&] { linear(x, variable({8}), {}); }), "linear: expected weight of 2 dimensions, got shape [8]");
  EXPECT_EQ(error_of([&] { linear(x, weight, variable({8})); }), "linear: expected bias of shape [10], got [8]");
}

TEST_P(OperationsTest, DropoutRefuses) {
  const StepState state = make_step_state(backend());
  for (const float probability : {-0.1f, 1.0f, 2.0f, NAN}) {
    EXPECT_EQ(error_of([&] {
                dropout(variable({4}), {probability, 0}, state);
              }).find("dropout: expected a probability of at least 0 and less than 1, got "),
              0u)
        << probability;
  }
}

TEST_P(OperationsTest, SoftmaxCrossEntropyRefuses) {
  const StepState state = make_step_state(backend());
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(variable({2, 10}), integers({3}), state);
            }),
            "softmax_cross_entropy: expected labels of shape [2], got [3]");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(variable({2, 1, 1, 10}), integers({2}), state);
            }),
            "softmax_cross_entropy: expected logits of 2 dimensions, got shape [2, 1, 1, 10]");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(variable({2, 10}), Tensor::zeros(backend(), {2}), state);
            }),
            "softmax_cross_entropy: expected labels of i32, got f32");
  for (const double smoothing : {-0.1, 1.0})
    EXPECT_EQ(error_of([&] {
                softmax_cross_entropy(variable({2, 10}), integers({2}), state, {smoothing});
              }),
              fmt::format("softmax_cross_entropy: expected label smoothing in [0, 1), got {}", smoothing));
}

TEST_P(OperationsTest, GatherBatchRefuses) {
  const auto error = [&](const Tensor& images, const Shape& labels, std::int64_t count, int padding) {
    GatherParams params;
    params.padding = padding;
    return error_of(
        [&] { gather_batch(images, integers(labels), integers({5}), count, make_step_state(backend()), params); });
  };
  const Tensor images = Tensor::zeros(backend(), {4, 6, 5, 3}, DType::kU8);
  EXPECT_EQ(error(images, {4}, 5, 4), "");
  EXPECT_EQ(error(Tensor::zeros(backend(), {4, 6, 5, 4}), {4}, 5, 4), "");
  EXPECT_EQ(error(Tensor::zeros(backend(), {4, 6, 5, 3}, DType::kBF16), {4}, 2, 4),
            "gather_batch: expected images of u8 or f32 with 1 to 4 channels, got bf16 of shape [4, 6, 5, 3]");
  EXPECT_EQ(error(Tensor::zeros(backend(), {4, 6, 5, 5}, DType::kU8), {4}, 2, 4),
            "gather_batch: expected images of u8 or f32 with 1 to 4 channels, got u8 of shape [4, 6, 5, 5]");
  EXPECT_EQ(error(Tensor::zeros(backend(), {4, 2, 16385, 1}, DType::kU8), {4}, 2, 4),
            "gather_batch: expected images of at most 16384 pixels in height and width, got shape [4, 2, 16385, 1]");
  EXPECT_EQ(error(Tensor::zeros(backend(), {4, 90}, DType::kU8), {4}, 2, 4),
            "gather_batch: expected images of 4 dimensions, got shape [4, 90]");
  EXPECT_EQ(error(images, {5}, 2, 4), "gather_batch: expected labels of shape [4], got [5]");
  EXPECT_EQ(error(images, {4}, 6, 4), "gather_batch: expected 1 to 5 images, got 6");
  EXPECT_EQ(error(images, {4}, 0, 4), "gather_batch: expected 1 to 5 images, got 0");
  EXPECT_EQ(error(images, {4}, 2, -1), "gather_batch: expected padding >= 0, got -1");
  GatherParams negative;
  negative.cutout = -1;
  EXPECT_EQ(
      error_of([&] { gather_batch(images, integers({4}), integers({5}), 2, make_step_state(backend()), negative); }),
      "gather_batch: expected cutout >= 0, got -1");
}

/// Every operation on `x`, with its other arguments from `other`'s backend.
std::vector<std::pair<std::string, std::function<void()>>> operations(const Variable& x, const Variable& other) {
  Backend& there = other.backend();
  const auto zeros = [&there](const Shape& shape) { return Variable(Tensor::zeros(there, shape)); };
  const StepState state = make_step_state(there);
  const Variable flat = x.defined() ? flatten(x) : x;
  const Tensor vector = Tensor::zeros(there, {3});
  return {{"conv2d",
           [=] {
             conv2d(x, zeros({2, 1, 1, 3}), {}, {});
           }},
          {"batch_norm",
           [=] {
             batch_norm(x, {zeros({3}), zeros({3}), vector, vector}, {}, true);
           }},
          {"add",
           [=] {
             add(x, zeros({2, 4, 4, 3}));
           }},
          {"mul",
           [=] {
             mul(x, zeros({2, 4, 4, 3}));
           }},
          {"concat",
           [=] {
             concat({x, zeros({2, 4, 4, 5})});
           }},
          {"scale_grad", [=] { scale_grad(x, vector, 0); }},
          {"linear",
           [=] {
             linear(flat, zeros({5, 48}), {});
           }},
          {"dropout", [=] { dropout(x, {}, state); }},
          {"softmax_cross_entropy",
           [=, &there] { softmax_cross_entropy(flat, Tensor::zeros(there, {2}, DType::kI32), state); }},
          {"gather_batch", [=, &there] {
             const Tensor images = Tensor::zeros(x.defined() ? x.backend() : there, {2, 4, 4, 3}, DType::kU8);
             const Tensor indices = Tensor::zeros(there, {2}, DType::kI32);
             gather_batch(images, indices, indices, 2, state, {});
           }}};
}

TEST_P(OperationsTest, TensorsOfTwoBackendsAreRefused) {
  const auto another = make_backend(Device{DeviceKind::kCpu});
  const Variable x = variable({2, 4, 4, 3});
  for (const auto& [name, operation] : operations(x, x)) EXPECT_EQ(error_of(operation), "") << name;
  for (const auto& [name, operation] : operations(x, Variable(Tensor::zeros(*another, {1}))))
    EXPECT_THAT(error_of(operation),
                AllOf(StartsWith(name + ": expected "), HasSubstr(" on the backend of "),
                      HasSubstr(" (" + to_string(backend().device()) + "), got another one (cpu)")))
        << name;
}

TEST_P(OperationsTest, UndefinedInputsAreRefused) {
  for (const auto& [name, operation] : operations({}, variable({1}))) {
    if (name == "gather_batch") continue;  // takes tensors
    const char* what = name == "add" || name == "mul"    ? "first operand"
                       : name == "concat"                ? "input 0"
                       : name == "softmax_cross_entropy" ? "logits"
                                                         : "input";
    EXPECT_EQ(error_of(operation), name + ": expected " + what + ", got an undefined tensor");
  }
  const Variable x = variable({2, 4, 4, 3});
  EXPECT_EQ(error_of([&] { conv2d(x, {}, {}, {}); }), "conv2d: expected weight, got an undefined tensor");
  EXPECT_EQ(error_of([&] { add(x, {}); }), "add: expected second operand, got an undefined tensor");
  EXPECT_EQ(error_of([&] { dropout(x, {}, {}); }), "dropout: expected the run's StepState, got an undefined tensor");
}

TEST_P(OperationsTest, EmptyTensorsAreRefused) {
  const Variable x = variable({0, 4, 4, 3});
  for (const auto& [name, operation] : std::vector<std::pair<std::string, std::function<void()>>>{
           {"relu", [&] { relu(x); }},
           {"sigmoid", [&] { sigmoid(x); }},
           {"gelu", [&] { gelu(x); }},
           {"softmax", [&] { softmax(x); }},
           {"max_pool2d", [&] { max_pool2d(x, {}); }},
           {"avg_pool2d", [&] { avg_pool2d(x, {}); }},
           {"global_avg_pool", [&] { global_avg_pool(x); }},
           {"zero_pad_shortcut", [&] { zero_pad_shortcut(x, 5); }},
           {"flatten", [&] { flatten(x); }},
           {"cast", [&] { cast(x, DType::kF32); }}})
    EXPECT_EQ(error_of(operation), name + ": expected input with elements, got shape [0, 4, 4, 3]");
}

INSTANTIATE_TEST_SUITE_P(Devices, OperationsTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
