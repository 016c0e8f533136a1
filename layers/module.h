// SPDX-License-Identifier: MIT
// A module owns parameters, buffers and other modules under the names that PyTorch's CIFAR networks give them, and
// computes its output from its input.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/autograd.h"
#include "core/backend.h"

namespace gradamp {

/// The kinds of layers that can be amplified ([GA], [IGA]).
enum class LayerType { kConv, kBatchNorm, kRelu, kLinear };

/// "conv", "bn", "relu", "linear".
const char* name_of(LayerType type);

/// Training uses a batch's own statistics and drops out; evaluation does neither.
enum class Mode { kTraining, kEvaluation };

/// A trained tensor. Convolution filters are (K, R, S, C) here and (K, C, R, S) in files.
struct NamedParameter {
  std::string name;
  Variable variable;
};

/// A tensor that is kept but not trained.
struct NamedBuffer {
  std::string name;
  Tensor tensor;
};

/// A scale of the gradient that arrives at a layer's output: placement `backprop` of [GA]. Undefined factors: none.
struct GradScale {
  Tensor factors;  // f32 (layers)
  std::int64_t index = 0;

  Variable apply(const Variable& y) const;
};

class Module {
 public:
  virtual ~Module() = default;
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  virtual Variable forward(const Variable& x, Mode mode) = 0;

  /// Calls `visit(name, module)` for this module and all below it, parents first, in order of registration; names are
  /// dotted paths such as "layer1.0.conv1", "" for this one.
  void for_each(const std::function<void(const std::string& name, Module& module)>& visit);

  /// Every parameter (buffer) here and below, with its dotted name, in PyTorch's order.
  std::vector<NamedParameter> named_parameters();
  std::vector<NamedBuffer> named_buffers();

  const std::vector<NamedParameter>& own_parameters() const { return parameters_; }
  const std::vector<NamedBuffer>& own_buffers() const { return buffers_; }

 protected:
  Variable add_parameter(const std::string& name, Backend& backend, const Shape& shape);
  Tensor add_buffer(const std::string& name, Tensor tensor);
  template <typename M>
  std::shared_ptr<M> add_module(const std::string& name, std::shared_ptr<M> module) {
    children_.emplace_back(name, module);
    return module;
  }

 private:
  void for_each_below(const std::string& prefix,
                      const std::function<void(const std::string& name, Module& module)>& visit);

  std::vector<NamedParameter> parameters_;
  std::vector<NamedBuffer> buffers_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
};

/// A module that can be amplified: convolution, batch norm, linear (with parameters) and ReLU (without).
class Layer : public Module {
 public:
  virtual LayerType type() const = 0;
  /// Set by the optimizer for placement `backprop`.
  void set_grad_scale(GradScale scale) { grad_scale_ = std::move(scale); }
  const GradScale& grad_scale() const { return grad_scale_; }

 private:
  GradScale grad_scale_;
};

/// A layer of a network, by its dotted name.
struct NamedLayer {
  std::string name;
  Layer* layer = nullptr;
};

/// The layers of `network` in order.
std::vector<NamedLayer> named_layers(Module& network);

}  // namespace gradamp
