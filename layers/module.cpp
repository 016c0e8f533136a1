// SPDX-License-Identifier: MIT
#include "layers/module.h"

#include "core/operations.h"

namespace gradamp {

const char* name_of(LayerType type) {
  switch (type) {
    case LayerType::kConv: return "conv";
    case LayerType::kBatchNorm: return "bn";
    case LayerType::kRelu: return "relu";
    case LayerType::kLinear: return "linear";
  }
  return "?";
}

Variable GradScale::apply(const Variable& y) const { return factors.defined() ? scale_grad(y, factors, index) : y; }

void Module::for_each(const std::function<void(const std::string& name, Module& module)>& visit) {
  for_each_below("", visit);
}

void Module::for_each_below(const std::string& prefix,
                            const std::function<void(const std::string& name, Module& module)>& visit) {
  visit(prefix, *this);
  for (const auto& [name, child] : children_) child->for_each_below(prefix.empty() ? name : prefix + "." + name, visit);
}

std::vector<NamedParameter> Module::named_parameters() {
  std::vector<NamedParameter> all;
  for_each([&](const std::string& prefix, Module& module) {
    for (const NamedParameter& own : module.parameters_)
      all.push_back({prefix.empty() ? own.name : prefix + "." + own.name, own.variable});
  });
  return all;
}

std::vector<NamedBuffer> Module::named_buffers() {
  std::vector<NamedBuffer> all;
  for_each([&](const std::string& prefix, Module& module) {
    for (const NamedBuffer& own : module.buffers_)
      all.push_back({prefix.empty() ? own.name : prefix + "." + own.name, own.tensor});
  });
  return all;
}

Variable Module::add_parameter(const std::string& name, Backend& backend, const Shape& shape) {
  Variable parameter = Variable::parameter(Tensor::zeros(backend, shape), Tensor::zeros(backend, shape));
  parameters_.push_back({name, parameter});
  return parameter;
}

Tensor Module::add_buffer(const std::string& name, Tensor tensor) {
  buffers_.push_back({name, tensor});
  return tensor;
}

std::vector<NamedLayer> named_layers(Module& network) {
  std::vector<NamedLayer> layers;
  network.for_each([&](const std::string& name, Module& module) {
    if (Layer* layer = dynamic_cast<Layer*>(&module)) layers.push_back({name, layer});
  });
  return layers;
}

}  // namespace gradamp
