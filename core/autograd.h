// SPDX-License-Identifier: MIT
// Define-by-run differentiation: an operation on Variables computes its result and, if a gradient is needed, records a
// Node with what its backward needs. backward() walks the nodes in reverse order of creation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "gradamp/core/backend.h"

namespace gradamp {

struct Node;

/// The side of a Variable that receives gradients. A backward that does not read the variable's value keeps this in
/// place of the Variable, so that the value's memory is free after the forward. A handle: copies are the same.
class GradientTarget {
 public:
  GradientTarget() = default;

  const Shape& shape() const { return state_->shape; }
  /// The element type of the value and of the gradient.
  DType dtype() const { return state_->dtype; }
  Backend& backend() const { return *state_->backend; }
  /// The gradient; undefined if none has been received. backward() releases those of intermediate results.
  const Tensor& grad() const { return state_->grad; }
  bool requires_grad() const { return state_ && state_->requires_grad; }
  /// Whether a gradient has been received since the last clear_grad().
  bool has_grad() const { return state_->has_grad; }
  /// Marks the gradient as not received; a leaf keeps its gradient's memory.
  void clear_grad() const;
  /// A leaf's gradient, of the leaf's shape.
  struct LeafGradient {
    Tensor grad;
    bool has_grad = false;
  };
  /// Exchanges this leaf's gradient with `other`: for several backwards that go on in turn.
  void swap_grad(LeafGradient& other) const;

  /// The batch norm whose result this is, if all nodes that read it have passed their gradients to it but the one whose
  /// backward runs now; else null.
  PendingBatchNorm* pending_batch_norm() const { return state_->readers == 1 ? state_->batch_norm.get() : nullptr; }
  void set_pending_batch_norm(std::shared_ptr<PendingBatchNorm> batch_norm) const {
    state_->batch_norm = std::move(batch_norm);
  }

  /// The memory into which a backward writes its contribution before it calls receive_grad: a leaf's own gradient for
  /// the first contribution, else new memory.
  Tensor grad_destination() const;
  /// Adds `contribution` to the gradient. The first one is not copied if it is in grad_destination() or this is no
  /// leaf. Does nothing if no gradient is needed.
  void receive_grad(const Tensor& contribution) const;
  /// Both in one: `compute(out)` must write every element of `out`. It is not called if no gradient is needed.
  template <typename Compute>
  void receive_grad_from(Compute compute) const {
    if (!requires_grad()) return;
    const Tensor destination = grad_destination();
    compute(destination);
    receive_grad(destination);
  }
  /// The same for an operation that can also add its contribution to what is there: `add(grad)`. Exactly one of the two
  /// is called, which gives the same bits.
  template <typename Compute, typename Add>
  void receive_grad_from(Compute compute, Add add) const {
    if (requires_grad() && state_->has_grad && (state_->is_leaf || state_->grad.is_unique())) {
      add(state_->grad);
    } else {
      receive_grad_from(compute);
    }
  }

 protected:
  struct State {
    Backend* backend = nullptr;
    Shape shape;
    DType dtype = DType::kF32;
    Tensor grad;
    bool requires_grad = false;
    bool is_leaf = true;
    bool has_grad = false;
    int readers = 0;  // nodes that read it and have not released it
    std::shared_ptr<Node> node;
    std::shared_ptr<PendingBatchNorm> batch_norm;
  };
  explicit GradientTarget(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;

 private:
  friend class Variable;
  friend struct Node;
};

/// A Tensor with its history. A handle: copies are the same variable. Threads: a variable and its graph belong to one
/// thread at a time. Two threads may build and differentiate graphs that share nothing.
class Variable : public GradientTarget {
 public:
  Variable() = default;
  /// A constant. If it stands for a batch norm, this is computed when value() is first called.
  explicit Variable(NormalizedTensor value);
  /// A leaf whose gradient is written into `grad`, of the same shape. `grad` keeps its memory across steps.
  static Variable parameter(Tensor value, Tensor grad);

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const;
  /// The value, or what it will be computed from.
  NormalizedTensor normalized() const;
  /// This variable without its value.
  const GradientTarget& target() const { return *this; }
  /// Makes this leaf a constant: it receives no more gradients. Error for the result of an operation.
  void stop_gradient() const;
  /// Moves a leaf to other memory; its value is not copied. `copy`: memory for its value in a lower precision, which
  /// must be updated by the code that writes the value; undefined: none.
  void rebind(Tensor value, Tensor grad, Tensor copy = {}) const;
  /// Updates the value's copy, if there is one.
  void refresh_copy() const;
  /// The value in `dtype`: itself, its copy, or a conversion made now.
  Tensor value_as(DType dtype) const;

  /// The moments that a convolution computed of this result for the batch norm behind it.
  const ChannelMoments& moments() const { return value_->moments; }
  void set_moments(ChannelMoments moments) const { value_->moments = std::move(moments); }

  /// Differentiates this scalar (or, with `seed`, the sum of seed * this) with respect to every leaf. Consumes the
  /// graph: each node's backward function, and the memory that it holds, is released after its call.
  void backward(const Tensor& seed = {}) const;

 private:
  friend Variable make_result(NormalizedTensor value, const std::vector<Variable>& inputs,
                              std::function<void(const Tensor& grad_output)> backward);
  struct Value {
    Tensor tensor;  // undefined: not computed yet
    Tensor copy;
    NormalizedTensor source;
    ChannelMoments moments;
  };
  std::shared_ptr<Value> value_;
};

/// One recorded operation.
struct Node {
  std::uint64_t sequence = 0;  // creation order
  std::vector<GradientTarget> inputs;
  std::function<void(const Tensor& grad_output)> backward;

  Node(std::uint64_t number, std::vector<GradientTarget> of, std::function<void(const Tensor& grad_output)> function);
  /// The inputs, which it does not read any more.
  std::vector<GradientTarget> release_inputs();
  /// Releases its part of the graph without recursion, since graphs may have millions of nodes.
  ~Node();
};

/// Whether an operation on `inputs` records a node: an input requires a gradient, and this thread has no NoGrad.
bool records(const std::vector<Variable>& inputs);

/// The result of an operation: a Variable, with a node if records(inputs).
/// `backward` passes gradients to the inputs with receive_grad. What it captures is kept until then: the Variable of an
/// input whose value it reads, and only the target() of the others.
Variable make_result(NormalizedTensor value, const std::vector<Variable>& inputs,
                     std::function<void(const Tensor& grad_output)> backward);

/// While a NoGrad lives, its thread records nothing: for evaluation. Other threads are not affected. The thread that
/// made it must destroy it.
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
