// SPDX-License-Identifier: MIT
// The layers' additions to the operations: shapes of parameters, modes, fusion, and the scaling of gradients.
#include "gradamp/layers/layers.h"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using Floats = std::vector<float>;

class LayersTest : public DeviceTest {
 protected:
  Variable normal(const Shape& shape, std::uint32_t substream) {
    return Variable(normal_tensor(backend(), shape, substream));
  }
  /// Gives every parameter normal values and its gradient NaN.
  void fill(Module& module) {
    std::uint32_t substream = 50;
    for (const NamedParameter& parameter : module.named_parameters()) {
      const Shape& shape = parameter.variable.shape();
      parameter.variable.value().copy_from_host(std::span<const float>(normal_values(shape.count(), substream++)));
      parameter.variable.grad().copy_from_host(
          std::span<const float>(Floats(static_cast<std::size_t>(shape.count()), NAN)));
    }
  }
  GradScale scale_of(float factor) { return {Tensor::from_host(backend(), {2}, Floats{-1.0f, factor}), 1}; }
};

Floats values_of(const Variable& variable) { return variable.value().to_host<float>(); }

Floats times(Floats values, float factor) {
  for (float& value : values) value *= factor;
  return values;
}

/// The gradients of sum(seed * module(x)): that of x, then those of every parameter.
std::vector<Floats> gradients(Module& module, const Tensor& x, const Tensor& seed) {
  const Variable input = Variable::parameter(x, Tensor::zeros(x.backend(), x.shape()));
  for (const NamedParameter& parameter : module.named_parameters()) parameter.variable.clear_grad();
  module.forward(input, Mode::kTraining).backward(seed);
  std::vector<Floats> all = {input.grad().to_host<float>()};
  for (const NamedParameter& parameter : module.named_parameters()) {
    all.push_back(parameter.variable.grad().to_host<float>());
  }
  return all;
}

TEST_P(LayersTest, Conv2dIsTheOperationWithItsParameters) {
  Conv2d conv(backend(), 3, 8, 3, {2, 1}, true);
  ASSERT_EQ(conv.own_parameters().size(), 2u);
  EXPECT_EQ(conv.own_parameters()[0].name, "weight");
  EXPECT_EQ(conv.own_parameters()[0].variable.shape(), (Shape{8, 3, 3, 3}));
  EXPECT_EQ(conv.own_parameters()[1].name, "bias");
  EXPECT_EQ(conv.own_parameters()[1].variable.shape(), (Shape{8}));
  EXPECT_EQ(conv.type(), LayerType::kConv);
  fill(conv);
  const Variable x = normal({2, 5, 7, 3}, 1);
  EXPECT_EQ(values_of(conv.forward(x, Mode::kTraining)),
            values_of(conv2d(x, conv.own_parameters()[0].variable, conv.own_parameters()[1].variable, {2, 1})));
  EXPECT_EQ(Conv2d(backend(), 3, 8, 3, {1, 1}).own_parameters().size(), 1u);
}

TEST_P(LayersTest, LinearIsTheOperationWithItsParameters) {
  Linear layer(backend(), 20, 8);
  ASSERT_EQ(layer.own_parameters().size(), 2u);
  EXPECT_EQ(layer.own_parameters()[0].name, "weight");
  EXPECT_EQ(layer.own_parameters()[0].variable.shape(), (Shape{8, 20}));
  EXPECT_EQ(layer.own_parameters()[1].name, "bias");
  EXPECT_EQ(layer.type(), LayerType::kLinear);
  fill(layer);
  const Variable x = normal({3, 20}, 1);
  EXPECT_EQ(values_of(layer.forward(x, Mode::kTraining)),
            values_of(linear(x, layer.own_parameters()[0].variable, layer.own_parameters()[1].variable)));
  EXPECT_EQ(Linear(backend(), 20, 8, false).own_parameters().size(), 1u);
}

TEST_P(LayersTest, ParametersBeginAtZeroAndAreTrained) {
  Conv2d conv(backend(), 3, 8, 3, {1, 1});
  const Variable weight = conv.own_parameters()[0].variable;
  EXPECT_TRUE(weight.requires_grad());
  EXPECT_FALSE(weight.has_grad());
  EXPECT_EQ(values_of(weight), Floats(8 * 3 * 3 * 3, 0.0f));
  EXPECT_EQ(weight.grad().to_host<float>(), Floats(8 * 3 * 3 * 3, 0.0f));
}

TEST_P(LayersTest, BatchNormKeepsStatisticsInTrainingAndUsesThemInEvaluation) {
  BatchNorm norm(backend(), 3);
  EXPECT_EQ(norm.type(), LayerType::kBatchNorm);
  ASSERT_EQ(norm.own_parameters().size(), 2u);
  EXPECT_EQ(norm.own_parameters()[0].name, "weight");
  EXPECT_EQ(norm.own_parameters()[1].name, "bias");
  ASSERT_EQ(norm.own_buffers().size(), 2u);
  EXPECT_EQ(norm.own_buffers()[0].name, "running_mean");
  EXPECT_EQ(norm.own_buffers()[1].name, "running_var");
  const Tensor mean = norm.own_buffers()[0].tensor, variance = norm.own_buffers()[1].tensor;
  EXPECT_EQ(mean.to_host<float>(), Floats(3, 0.0f));
  EXPECT_EQ(variance.to_host<float>(), Floats(3, 1.0f));
  norm.own_parameters()[0].variable.value().copy_from_host(std::span<const float>(std::array{1.0f, 1.0f, 1.0f}));

  // Four values per channel, 2, 4, 6 and 8: mean 5, unbiased variance 20 / 3.
  Floats values;
  for (const float value : {2.0f, 4.0f, 6.0f, 8.0f}) values.insert(values.end(), 3, value);
  const Variable x(tensor_of(backend(), {2, 2, 1, 3}, values));
  norm.forward(x, Mode::kTraining);
  EXPECT_TRUE(agrees(mean.to_host<float>(), {0.5, 0.5, 0.5}, 1e-6));
  const double expected = 0.9 + 0.1 * 20 / 3;
  EXPECT_TRUE(agrees(variance.to_host<float>(), {expected, expected, expected}, 1e-6));

  const NoGrad guard;
  const auto before = bits_of(mean);
  std::vector<double> normalized;
  for (const float value : values)
    normalized.push_back((static_cast<double>(value) - 0.5) / std::sqrt(expected + 1e-5));
  EXPECT_TRUE(agrees(values_of(norm.forward(x, Mode::kEvaluation)), normalized, 1e-5));
  EXPECT_EQ(bits_of(mean), before);
}

TEST_P(LayersTest, BatchNormWithReluAndResidualIsTheSameInOneOperationAndInThree) {
  for (const bool with_residual : {false, true}) {
    BatchNorm fused(backend(), 8), plain(backend(), 8);
    ReLU relu_layer;
    fill(fused);
    fill(plain);
    const Tensor x = normal_tensor(backend(), {3, 5, 7, 8}, 1), r = normal_tensor(backend(), {3, 5, 7, 8}, 2);
    const auto trained = [&](const Tensor& value) {
      return Variable::parameter(value, Tensor::zeros(backend(), value.shape()));
    };
    const Variable x1 = trained(x), x2 = trained(x), r1 = trained(r), r2 = trained(r);
    const Variable y1 = fused.forward(x1, Mode::kTraining, &relu_layer, with_residual ? r1 : Variable());
    Variable y2 = plain.forward(x2, Mode::kTraining);
    if (with_residual) y2 = add(y2, r2);
    y2 = relu(y2);
    EXPECT_TRUE(agrees(values_of(y1), to_double(values_of(y2)), 1e-6));
    const Tensor seed = normal_tensor(backend(), {3, 5, 7, 8}, 3);
    y1.backward(seed);
    y2.backward(seed);
    const auto expect_same_grad = [](const Variable& a, const Variable& b) {
      EXPECT_TRUE(agrees(a.grad().to_host<float>(), to_double(b.grad().to_host<float>()), 1e-5));
    };
    expect_same_grad(x1, x2);
    if (with_residual) expect_same_grad(r1, r2);
    for (std::size_t i = 0; i < 2; ++i) {
      expect_same_grad(fused.own_parameters()[i].variable, plain.own_parameters()[i].variable);
    }
  }
}

TEST_P(LayersTest, AScaledLayerGivesTheSameOutputAndScaledGradients) {
  Conv2d conv(backend(), 3, 8, 3, {1, 1}, true);
  Linear linear_layer(backend(), 8, 4);
  BatchNorm norm(backend(), 8);
  ReLU relu_layer;
  const std::pair<Layer*, Shape> layers[] = {
      {&conv, {2, 5, 7, 3}}, {&linear_layer, {3, 8}}, {&norm, {3, 5, 7, 8}}, {&relu_layer, {3, 5, 7, 8}}};
  for (const auto& [layer, shape] : layers) {
    SCOPED_TRACE(name_of(layer->type()));
    fill(*layer);
    const Tensor x = normal_tensor(backend(), shape, 1);
    const Variable y = layer->forward(Variable(x), Mode::kTraining);
    const Tensor seed = normal_tensor(backend(), y.shape(), 2);
    const std::vector<Floats> plain = gradients(*layer, x, seed);
    layer->set_grad_scale(scale_of(2.0f));
    EXPECT_EQ(values_of(layer->forward(Variable(x), Mode::kTraining)), values_of(y));
    const std::vector<Floats> scaled = gradients(*layer, x, seed);
    // A multiplication by 2 is exact in floating point, in every order of sums.
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scaled[i], times(plain[i], 2)) << "gradient " << i;
    layer->set_grad_scale({});
    EXPECT_EQ(gradients(*layer, x, seed), plain);
  }
}

// In conv, batch norm [+ residual] and ReLU, each layer's factor affects everything upstream of the layer's own output.
TEST_P(LayersTest, FactorsOfAFusedBatchNormReachTheirOwnLayersOnly) {
  const Shape shape = {3, 5, 7, 8};
  const Tensor x = normal_tensor(backend(), shape, 1), r = normal_tensor(backend(), shape, 2);
  const Tensor seed = normal_tensor(backend(), shape, 3);
  struct Grads {
    Floats x, residual, gamma;
  };
  const auto run = [&](float norm_factor, float relu_factor) {
    BatchNorm norm(backend(), 8);
    ReLU relu_layer;
    fill(norm);
    if (norm_factor != 1) norm.set_grad_scale(scale_of(norm_factor));
    if (relu_factor != 1) relu_layer.set_grad_scale(scale_of(relu_factor));
    const Variable input = Variable::parameter(x, Tensor::zeros(backend(), shape));
    const Variable residual = Variable::parameter(r, Tensor::zeros(backend(), shape));
    norm.forward(input, Mode::kTraining, &relu_layer, residual).backward(seed);
    return Grads{input.grad().to_host<float>(), residual.grad().to_host<float>(),
                 norm.own_parameters()[0].variable.grad().to_host<float>()};
  };
  const Grads plain = run(1, 1);
  const auto expect_times = [](const Floats& actual, const Floats& expected, float factor) {
    EXPECT_TRUE(agrees(actual, to_double(times(expected, factor)), 1e-5));
  };
  const Grads norm_only = run(4, 1);
  expect_times(norm_only.x, plain.x, 4);
  expect_times(norm_only.gamma, plain.gamma, 4);
  expect_times(norm_only.residual, plain.residual, 1);
  const Grads relu_only = run(1, 2);
  expect_times(relu_only.x, plain.x, 2);
  expect_times(relu_only.gamma, plain.gamma, 2);
  expect_times(relu_only.residual, plain.residual, 2);
  const Grads both = run(4, 2);
  expect_times(both.x, plain.x, 8);
  expect_times(both.residual, plain.residual, 2);
}

TEST_P(LayersTest, DropoutWorksInTrainingOnly) {
  Dropout layer({0.5f, 3}, make_step_state(backend()));
  const Variable x = normal({1000}, 1);
  EXPECT_NE(values_of(layer.forward(x, Mode::kTraining)), values_of(x));
  EXPECT_EQ(values_of(layer.forward(x, Mode::kTraining)), values_of(dropout(x, {0.5f, 3}, make_step_state(backend()))));
  EXPECT_EQ(values_of(layer.forward(x, Mode::kEvaluation)), values_of(x));
  Dropout none({0.0f, 3}, make_step_state(backend()));
  EXPECT_EQ(values_of(none.forward(x, Mode::kTraining)), values_of(x));
}

TEST_P(LayersTest, PoolingLayersAreTheOperations) {
  const Variable x = normal({2, 5, 7, 3}, 1);
  const Pool2dParams params{3, 2, 1};
  EXPECT_EQ(values_of(MaxPool2d(params).forward(x, Mode::kTraining)), values_of(max_pool2d(x, params)));
  EXPECT_EQ(values_of(AvgPool2d(params).forward(x, Mode::kTraining)), values_of(avg_pool2d(x, params)));
}

TEST_P(LayersTest, ConvolutionsCanHaveGroupsAndFiltersThatAreNotSquare) {
  Conv2d conv(backend(), 6, 4, {3, 1}, {1, 1, 1, 2}, true);
  fill(conv);
  const std::vector<NamedParameter> parameters = conv.named_parameters();
  EXPECT_EQ(parameters[0].variable.shape(), Shape({4, 3, 1, 3}));
  const Variable x = normal({2, 5, 7, 6}, 1), y = conv.forward(x, Mode::kTraining);
  EXPECT_EQ(y.shape(), Shape({2, 5, 9, 4}));
  EXPECT_EQ(values_of(y), values_of(conv2d(x, parameters[0].variable, parameters[1].variable, {1, 1, 1, 2})));
  EXPECT_EQ(error_of([&] {
              Conv2d(backend(), 6, 4, 3, {1, 1, 1, 4});
            }),
            "Conv2d: expected groups that divide the 6 input channels, got 4");
}

TEST_P(LayersTest, SequentialAppliesItsModulesInOrder) {
  Sequential network;
  EXPECT_TRUE(network.is_empty());
  const Variable x = normal({2, 5, 7, 3}, 1);
  EXPECT_EQ(values_of(network.forward(x, Mode::kTraining)), values_of(x));

  const auto conv = network.append(std::make_shared<Conv2d>(backend(), 3, 8, 3, Conv2dParams{1, 1}));
  const auto norm = network.append(std::make_shared<BatchNorm>(backend(), 8));
  const auto relu_layer = network.append(std::make_shared<ReLU>());
  network.append(std::make_shared<MaxPool2d>(Pool2dParams{2, 2, 0}));
  const auto last_norm = network.append(std::make_shared<BatchNorm>(backend(), 8));
  EXPECT_FALSE(network.is_empty());
  fill(network);
  // The betas of the batch norms are not zero, so that the order of the layers matters.
  Variable y = conv->forward(x, Mode::kTraining);
  y = relu(norm->forward(y, Mode::kTraining));
  y = last_norm->forward(max_pool2d(y, {2, 2, 0}), Mode::kTraining);
  EXPECT_TRUE(agrees(values_of(network.forward(x, Mode::kTraining)), to_double(values_of(y)), 1e-6));

  // The ReLU that is fused into the batch norm is still a separate layer, with its own factor.
  const Tensor seed = normal_tensor(backend(), y.shape(), 2);
  const std::vector<Floats> plain = gradients(network, x.value(), seed);
  relu_layer->set_grad_scale(scale_of(2.0f));
  const std::vector<Floats> scaled = gradients(network, x.value(), seed);
  ASSERT_EQ(plain.size(), 6u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(agrees(scaled[i], to_double(times(plain[i], 2)), 1e-5)) << "gradient " << i << " below the ReLU";
  }
  for (std::size_t i = 4; i < 6; ++i) EXPECT_EQ(scaled[i], plain[i]) << "gradient " << i << " above the ReLU";
}

TEST_P(LayersTest, EvaluationDoesNotDependOnScales) {
  // In bf16 the sum with the residual would be rounded once more if it was computed by itself.
  const Tensor x = Tensor::empty(backend(), {3, 5, 7, 8}, DType::kBF16),
               r = Tensor::empty(backend(), x.shape(), DType::kBF16);
  backend().cast(normal_tensor(backend(), x.shape(), 1), x);
  backend().cast(normal_tensor(backend(), x.shape(), 2), r);
  BatchNorm norm(backend(), 8);
  ReLU relu_layer;
  fill(norm);
  const NoGrad no_grad;
  const auto run = [&] {
    const Variable y = norm.forward(Variable(x), Mode::kEvaluation, &relu_layer, Variable(r));
    return y.value_as(DType::kF32).to_host<float>();
  };
  const Floats plain = run();
  norm.set_grad_scale(scale_of(2.0f));
  EXPECT_EQ(run(), plain);
  relu_layer.set_grad_scale(scale_of(3.0f));
  EXPECT_EQ(run(), plain);
}

INSTANTIATE_TEST_SUITE_P(Devices, LayersTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
