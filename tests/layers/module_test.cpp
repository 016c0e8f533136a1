// SPDX-License-Identifier: MIT
// Names, order and ownership in a tree of modules.
#include "gradamp/layers/module.h"

#include <gtest/gtest.h>

#include "gradamp/layers/layers.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

/// conv1 - bn1 - relu, then layer1 of two modules, then fc; with a buffer and a parameter of its own.
class Network final : public Module {
 public:
  explicit Network(Backend& backend) {
    scale = add_parameter("scale", backend, {1});
    counted = add_buffer("counted", Tensor::zeros(backend, {2}));
    add_module("conv1", std::make_shared<Conv2d>(backend, 3, 4, 3, Conv2dParams{1, 1}));
    add_module("bn1", std::make_shared<BatchNorm>(backend, 4));
    add_module("relu", std::make_shared<ReLU>());
    const auto layer1 = add_module("layer1", std::make_shared<Sequential>());
    layer1->append(std::make_shared<Conv2d>(backend, 4, 4, 1, Conv2dParams{}, true));
    layer1->append(std::make_shared<MaxPool2d>(Pool2dParams{}));
    layer1->append(std::make_shared<BatchNorm>(backend, 4));
    add_module("fc", std::make_shared<Linear>(backend, 4, 10));
  }
  Variable forward(const Variable& x, Mode) override { return x; }

  Variable scale;
  Tensor counted;
};

class ModuleTest : public DeviceTest {};

TEST_P(ModuleTest, ParametersHaveDottedNamesInOrder) {
  Network network(backend());
  std::vector<std::string> names;
  for (const NamedParameter& parameter : network.named_parameters()) names.push_back(parameter.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"scale", "conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.weight",
                                      "layer1.0.bias", "layer1.2.weight", "layer1.2.bias", "fc.weight", "fc.bias"}));
}

TEST_P(ModuleTest, BuffersHaveDottedNamesInOrder) {
  Network network(backend());
  std::vector<std::string> names;
  for (const NamedBuffer& buffer : network.named_buffers()) names.push_back(buffer.name);
  EXPECT_EQ(names, (std::vector<std::string>{"counted", "bn1.running_mean", "bn1.running_var", "layer1.2.running_mean",
                                             "layer1.2.running_var"}));
}

TEST_P(ModuleTest, WhatIsListedIsWhatIsUsed) {
  Network network(backend());
  network.named_parameters()[0].variable.value().copy_from_host(std::span<const float>(std::vector<float>{5}));
  EXPECT_EQ(network.scale.value().to_host<float>(), std::vector<float>{5});
  EXPECT_EQ(network.named_buffers()[0].tensor.raw_data(), network.counted.raw_data());
}

TEST_P(ModuleTest, ModulesAreVisitedParentsFirst) {
  Network network(backend());
  std::vector<std::string> names;
  network.for_each([&](const std::string& name, Module&) { names.push_back(name); });
  EXPECT_EQ(names,
            (std::vector<std::string>{"", "conv1", "bn1", "relu", "layer1", "layer1.0", "layer1.1", "layer1.2", "fc"}));
}

TEST_P(ModuleTest, LayersAreWhatCanBeAmplified) {
  Network network(backend());
  std::vector<std::string> layers;
  for (const NamedLayer& layer : named_layers(network)) {
    layers.push_back(layer.name + " " + name_of(layer.layer->type()));
  }
  EXPECT_EQ(layers, (std::vector<std::string>{"conv1 conv", "bn1 bn", "relu relu", "layer1.0 conv", "layer1.2 bn",
                                              "fc linear"}));
}

TEST_P(ModuleTest, AGradScaleWithoutFactorsIsNone) {
  const Variable x = parameter_of(backend(), {2}, {1, 2});
  EXPECT_EQ(GradScale{}.apply(x).value().raw_data(), x.value().raw_data());
  GradScale{tensor_of(backend(), {2}, {7, 3}), 1}.apply(x).backward(tensor_of(backend(), {2}, {1, 10}));
  EXPECT_EQ(x.grad().to_host<float>(), (std::vector<float>{3, 30}));
}

TEST_P(ModuleTest, AModuleInSeveralPlacesIsVisitedOnce) {
  Sequential network;
  const auto shared = std::make_shared<Linear>(backend(), 4, 4);
  network.append(shared);
  network.append(shared);
  network.append(std::make_shared<Linear>(backend(), 4, 3));
  std::vector<std::string> names;
  for (const NamedParameter& parameter : network.named_parameters()) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"0.weight", "0.bias", "2.weight", "2.bias"}));
  EXPECT_EQ(named_layers(network).size(), 2u);
}

/// A module to which the test adds what it needs.
class Open final : public Module {
 public:
  using Module::add_buffer;
  using Module::add_module;
  using Module::add_parameter;
  Variable forward(const Variable& x, Mode) override { return x; }
};

TEST_P(ModuleTest, NamesAreGivenOnce) {
  Open module;
  module.add_parameter("w", backend(), {1});
  const Tensor one = Tensor::zeros(backend(), {1});
  const std::string taken = "the module has a parameter, buffer or module 'w' already; give this one another name";
  EXPECT_EQ(error_of([&] { module.add_parameter("w", backend(), {1}); }), taken);
  EXPECT_EQ(error_of([&] { module.add_buffer("w", one); }), taken);
  EXPECT_EQ(error_of([&] { module.add_module("w", std::make_shared<ReLU>()); }), taken);
  EXPECT_NE(error_of([&] { module.add_buffer("a.b", one); }).find("without dots"), std::string::npos);
  EXPECT_NE(error_of([&] { module.add_module("m", std::shared_ptr<ReLU>()); }).find("expected a module"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { module.add_buffer("steps", Tensor::zeros(backend(), {1}, DType::kI64)); }),
            "buffer 'steps': expected a tensor of f32, got i64");
  EXPECT_EQ(module.named_parameters().size(), 1u);
}

TEST_P(ModuleTest, FrozenModulesReceiveNoGradients) {
  Network network(backend());
  network.freeze();
  for (const NamedParameter& parameter : network.named_parameters()) {
    EXPECT_FALSE(parameter.variable.requires_grad()) << parameter.name;
    EXPECT_TRUE(parameter.variable.defined());
  }
  EXPECT_TRUE(network.own_trained_parameters().empty());
}

TEST(LayerTypeTest, NamesAreChecked) {
  EXPECT_STREQ(name_of(LayerType::kConv), "conv");
  EXPECT_EQ(LayerType("relu"), LayerType::kRelu);
  EXPECT_NE(LayerType("own-1"), LayerType("own-2"));
  for (const char* bad : {"", "a b", "a,b", "abcdefghijklmnopqrstuvwxyz"})
    EXPECT_NE(error_of([&] { LayerType{bad}; }).find(std::string("got '") + bad + "'"), std::string::npos) << bad;
}

INSTANTIATE_TEST_SUITE_P(Devices, ModuleTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
