// SPDX-License-Identifier: MIT
#include "gradamp/layers/module.h"

#include <algorithm>

#include "gradamp/core/operations.h"

namespace gradamp {

Variable GradScale::apply(const Variable& y) const { return factors.defined() ? scale_grad(y, factors, index) : y; }

void Module::for_each(const std::function<void(const std::string& name, Module& module)>& visit) {
  std::set<const Module*> seen;
  for_each_below("", seen, visit);
}

void Module::for_each_below(const std::string& prefix, std::set<const Module*>& seen,
                            const std::function<void(const std::string& name, Module& module)>& visit) {
  if (!seen.insert(this).second) return;
  visit(prefix, *this);
  for (const auto& [name, child] : children_)
    child->for_each_below(prefix.empty() ? name : prefix + "." + name, seen, visit);
}

void Module::check_new_name(const std::string& name) const {
  check(!name.empty() && name.find('.') == std::string::npos,
        "expected a name without dots for a parameter, buffer or module, got '{}'", name);
  const auto is_taken = [&](const auto& named) { return named.name == name; };
  const bool is_known = std::any_of(parameters_.begin(), parameters_.end(), is_taken) ||
                        std::any_of(buffers_.begin(), buffers_.end(), is_taken) ||
                        std::any_of(children_.begin(), children_.end(), [&](const auto& c) { return c.first == name; });
  check(!is_known, "the module has a parameter, buffer or module '{}' already; give this one another name", name);
}

std::vector<NamedParameter> Module::own_trained_parameters() const {
  std::vector<NamedParameter> trained;
  for (const NamedParameter& parameter : parameters_)
    if (parameter.variable.requires_grad()) trained.push_back(parameter);
  return trained;
}

void Module::freeze() {
  for_each([](const std::string&, Module& module) {
    for (const NamedParameter& parameter : module.parameters_) parameter.variable.stop_gradient();
  });
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
  check_new_name(name);
  Variable parameter = Variable::parameter(Tensor::zeros(backend, shape), Tensor::zeros(backend, shape));
  parameters_.push_back({name, parameter});
  return parameter;
}

Tensor Module::add_buffer(const std::string& name, Tensor tensor) {
  check_new_name(name);
  check(tensor.defined() && tensor.dtype() == DType::kF32, "buffer '{}': expected a tensor of f32, got {}", name,
        tensor.defined() ? name_of(tensor.dtype()) : "an undefined one");
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
