// SPDX-License-Identifier: MIT
// Define-by-run differentiation: an operation on Variables computes its result and, where a gradient is needed,
// records a Node with what its backward needs. backward() walks the nodes in reverse order of creation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "gradamp/core/backend.h"

namespace gradamp {

struct Node;

/// A Tensor that knows how it came about. A handle: copies are the same variable.
class Variable {
 public:
  Variable() = default;
  /// A constant.
  explicit Variable(Tensor value);
  /// A leaf whose gradient is written into `grad` (of the same shape), which stays where it is across steps.
  static Variable parameter(Tensor value, Tensor grad);

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const { return state_->value; }
  const Shape& shape() const { return state_->value.shape(); }
  Backend& backend() const { return state_->value.backend(); }
  /// The gradient; undefined where none has come. Those of intermediate results are gone after backward().
  const Tensor& grad() const { return state_->grad; }
  bool requires_grad() const { return state_ && state_->requires_grad; }
  /// Whether a gradient has come since the last clear_grad().
  bool has_grad() const { return state_->has_grad; }
  /// Makes this leaf a constant: it receives no gradient any more. Error for the result of an operation.
  void stop_gradient() const;
  /// Forgets the gradient; a leaf's memory stays.
  void clear_grad() const;
  /// Moves a leaf to other memory; its value is not copied. `copy`: memory for its value in a lower precision, which
  /// whoever changes the value keeps up; undefined: none.
  void rebind(Tensor value, Tensor grad, Tensor copy = {}) const;
  /// Writes value's copy anew, where there is one.
  void refresh_copy() const;
  /// The value in `dtype`: itself, its copy, or a conversion made now.
  Tensor value_as(DType dtype) const;

  /// What a convolution noted of this result for a batch norm behind it.
  const ChannelMoments& moments() const { return state_->moments; }
  void set_moments(ChannelMoments moments) const { state_->moments = std::move(moments); }

  /// Where a backward writes its contribution before it hands it to receive_grad: a leaf's own memory for the first
  /// one, else new memory.
  Tensor grad_destination() const;
  /// Adds `contribution` to the gradient, without a copy where it is the first. Does nothing where none is needed.
  void receive_grad(const Tensor& contribution) const;
  /// Both in one: `compute(out)` writes every element of `out`; it is not called where no gradient is needed.
  template <typename Compute>
  void receive_grad_from(Compute compute) const {
    if (!requires_grad()) return;
    const Tensor destination = grad_destination();
    compute(destination);
    receive_grad(destination);
  }

  /// Differentiates this scalar (or, with `seed`, the sum of seed * this) with respect to every leaf. The graph is
  /// used up: what backward functions held is released as they are done.
  void backward(const Tensor& seed = {}) const;

 private:
  friend Variable make_result(Tensor value, std::vector<Variable> inputs,
                              std::function<void(const Tensor& grad_output)> backward);
  struct State {
    Tensor value;
    Tensor grad;
    Tensor copy;
    ChannelMoments moments;
    bool requires_grad = false;
    bool is_leaf = true;
    bool has_grad = false;
    std::shared_ptr<Node> node;
  };
  std::shared_ptr<State> state_;
};

/// One recorded operation.
struct Node {
  std::uint64_t sequence = 0;  // grows with every node
  std::vector<Variable> inputs;
  std::function<void(const Tensor& grad_output)> backward;

  Node(std::uint64_t number, std::vector<Variable> of, std::function<void(const Tensor& grad_output)> function);
  /// Releases the graph behind it without recursion, since graphs may have millions of nodes.
  ~Node();
};

/// Whether an operation on `inputs` records a node: one of them requires a gradient and no NoGrad lives.
bool records(const std::vector<Variable>& inputs);

/// The result of an operation: a Variable, with a node where records(inputs).
/// `backward` hands gradients to the inputs with receive_grad.
Variable make_result(Tensor value, std::vector<Variable> inputs,
                     std::function<void(const Tensor& grad_output)> backward);

/// While one lives, this thread records nothing: for evaluation.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace gradamp
