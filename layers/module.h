// SPDX-License-Identifier: MIT
// A module owns parameters, buffers and other modules, with the names of PyTorch's CIFAR networks, and computes its
// output from its input.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradamp/core/autograd.h"
#include "gradamp/core/backend.h"
#include "gradamp/core/philox.h"

namespace gradamp {

/// A kind of layer that can be amplified ([GA], [IGA]), with its name in tables, logs and settings. Your own layers
/// have their own names.
class LayerType {
 public:
  static const LayerType kConv, kBatchNorm, kRelu, kLinear;  // "conv", "bn", "relu", "linear"

  /// Error unless the name is 1 to 23 letters, digits, '-' and '_'.
  explicit constexpr LayerType(std::string_view name) {
    const auto is_good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    bool good = !name.empty() && name.size() < name_.size();
    for (std::size_t i = 0; good && i < name.size(); ++i) {
      good = is_good(name[i]);
      name_[i] = name[i];
    }
    if (!good) fail("expected a layer type of 1 to 23 letters, digits, '-' and '_', got '{}'", name);
  }
  friend constexpr bool operator==(const LayerType&, const LayerType&) = default;
  const char* name() const { return name_.data(); }

 private:
  std::array<char, 24> name_{};
};
inline constexpr LayerType LayerType::kConv{"conv"};
inline constexpr LayerType LayerType::kBatchNorm{"bn"};
inline constexpr LayerType LayerType::kRelu{"relu"};
inline constexpr LayerType LayerType::kLinear{"linear"};

inline const char* name_of(const LayerType& type) { return type.name(); }

/// Training uses the batch's statistics and applies dropout; evaluation does neither.
enum class Mode { kTraining, kEvaluation };

/// A trained tensor. Convolution filters are (K, R, S, C) here and (K, C, R, S) in files.
struct NamedParameter {
  std::string name;
  Variable variable;
};

/// A tensor that is part of the state but not trained.
struct NamedBuffer {
  std::string name;
  Tensor tensor;
};

/// Scales the gradient that arrives at a layer's output: placement `backprop` of [GA]. Undefined factors: no scaling.
struct GradScale {
  Tensor factors;  // f32 (layers)
  std::int64_t index = 0;

  Variable apply(const Variable& y) const;
};

/// Threads: one thread at a time uses a module, also for evaluation.
class Module {
 public:
  virtual ~Module() = default;
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  virtual Variable forward(const Variable& x, Mode mode) = 0;

  /// The least height and width, in pixels, of the images that this network can be trained on, in batches of one image
  /// too; 1: any. Trainer and Evaluator refuse smaller images.
  virtual std::int64_t min_image_size() const { return 1; }

  /// Calls `visit(name, module)` for this module and all below it, parents first, in order of registration; names are
  /// dotted paths such as "layer1.0.conv1", "" for this one. A module that stands in several places is visited once,
  /// under its first name: what it owns is trained, counted and saved once.
  void for_each(const std::function<void(const std::string& name, Module& module)>& visit);

  /// All parameters (buffers) of this module and those below it, with dotted names, in PyTorch's order.
  std::vector<NamedParameter> named_parameters();
  std::vector<NamedBuffer> named_buffers();

  /// Stops the training of this module and all modules below it: their parameters keep their values, have no gradient
  /// statistics and are never selected. Checkpoints still contain them. (Running statistics of batch norms are updated
  /// as before.) Call it before an optimizer is made.
  void freeze();

  /// The initial values of `parameter`, one of this module's own, drawn from `random`. Nothing: the rule of
  /// layers/initialization.h applies.
  virtual std::optional<std::vector<float>> initial_values(const NamedParameter& parameter,
                                                           PhiloxSequence& random) const {
    (void)parameter, (void)random;
    return std::nullopt;
  }

  const std::vector<NamedParameter>& own_parameters() const { return parameters_; }
  /// Those of own_parameters() that receive gradients: none in a frozen module.
  std::vector<NamedParameter> own_trained_parameters() const;
  const std::vector<NamedBuffer>& own_buffers() const { return buffers_; }

 protected:
  /// A trained parameter of zeros. Error if the module already has something of this name.
  Variable add_parameter(const std::string& name, Backend& backend, const Shape& shape);
  /// Adds an f32 tensor to the state. Error if the module already has something of this name.
  Tensor add_buffer(const std::string& name, Tensor tensor);
  template <typename M>
  std::shared_ptr<M> add_module(const std::string& name, std::shared_ptr<M> module) {
    check(module != nullptr, "module '{}': expected a module, got none", name);
    check_new_name(name);
    children_.emplace_back(name, module);
    return module;
  }

 private:
  void for_each_below(const std::string& prefix, std::set<const Module*>& seen,
                      const std::function<void(const std::string& name, Module& module)>& visit);
  void check_new_name(const std::string& name) const;

  std::vector<NamedParameter> parameters_;
  std::vector<NamedBuffer> buffers_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
};

/// A module that can be amplified: convolution, batch norm, linear (with parameters), ReLU (without), and your own
/// layers, with parameters of any number, names and shapes. Every trained parameter belongs to a Layer.
class Layer : public Module {
 public:
  virtual LayerType type() const = 0;
  /// Set by the optimizer for placement `backprop`. A layer's forward must return grad_scale().apply(y), or the
  /// placement has no effect on the layer.
  void set_grad_scale(GradScale scale) { grad_scale_ = std::move(scale); }
  const GradScale& grad_scale() const { return grad_scale_; }

 private:
  GradScale grad_scale_;
};

/// A layer of a network with its dotted name.
struct NamedLayer {
  std::string name;
  Layer* layer = nullptr;
};

/// The layers of `network` in order.
std::vector<NamedLayer> named_layers(Module& network);

}  // namespace gradamp
