// SPDX-License-Identifier: MIT
#include "gradamp/core/autograd.h"

#include <algorithm>
#include <atomic>
#include <queue>
#include <utility>

namespace gradamp {
namespace {

thread_local bool recording = true;

std::uint64_t next_sequence() {
  static std::atomic<std::uint64_t> sequence{0};
  return ++sequence;
}

}  // namespace

Node::Node(std::uint64_t number, std::vector<GradientTarget> of,
           std::function<void(const Tensor& grad_output)> function)
    : sequence(number), inputs(std::move(of)), backward(std::move(function)) {
  for (const GradientTarget& input : inputs)
    if (input.state_) ++input.state_->readers;
}

std::vector<GradientTarget> Node::release_inputs() {
  for (const GradientTarget& input : inputs)
    if (input.state_) --input.state_->readers;
  return std::exchange(inputs, {});
}

Node::~Node() {
  // Destroying an input can destroy its node. Nested destructors only queue their inputs; the outermost one releases
  // them in a loop.
  thread_local std::vector<GradientTarget>* queue_of_outermost = nullptr;
  if (queue_of_outermost) {
    for (GradientTarget& input : release_inputs()) queue_of_outermost->push_back(std::move(input));
    return;
  }
  std::vector<GradientTarget> queue = release_inputs();
  queue_of_outermost = &queue;
  backward = nullptr;  // holds variables as well
  while (!queue.empty()) {
    const GradientTarget last = std::move(queue.back());
    queue.pop_back();
  }
  queue_of_outermost = nullptr;
}

NoGrad::NoGrad() : previous_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = previous_; }

Variable::Variable(NormalizedTensor value)
    : GradientTarget(std::make_shared<State>()), value_(std::make_shared<Value>()) {
  check(value.tensor.defined(), "expected a value for a variable, got an undefined tensor");
  state_->backend = &value.tensor.backend();
  state_->shape = value.tensor.shape();
  state_->dtype = value.tensor.dtype();
  if (value.affine.defined()) {
    value_->source = std::move(value);
  } else {
    value_->tensor = std::move(value.tensor);
  }
}

const Tensor& Variable::value() const {
  if (!value_->tensor.defined()) {
    Tensor tensor = Tensor::empty(backend(), shape(), dtype());
    backend().apply_batch_norm(value_->source, tensor);
    value_->tensor = std::move(tensor);
    value_->source = {};
  }
  return value_->tensor;
}

NormalizedTensor Variable::normalized() const {
  return value_->tensor.defined() ? NormalizedTensor(value_->tensor) : value_->source;
}

Variable Variable::parameter(Tensor value, Tensor grad) {
  check(value.shape() == grad.shape(), "expected a gradient of shape {}, got {}", value.shape().to_string(),
        grad.shape().to_string());
  Variable variable(std::move(value));
  variable.state_->grad = std::move(grad);
  variable.state_->requires_grad = true;
  return variable;
}

void Variable::stop_gradient() const {
  check(state_->is_leaf, "expected a parameter, got the result of an operation");
  state_->requires_grad = false;
  state_->grad = {};
  state_->has_grad = false;
}

void GradientTarget::clear_grad() const {
  state_->has_grad = false;
  if (!state_->is_leaf) state_->grad = {};
}

void GradientTarget::swap_grad(LeafGradient& other) const {
  check(state_->is_leaf && other.grad.shape() == shape(), "expected a parameter and a gradient of its shape {}",
        shape().to_string());
  std::swap(state_->grad, other.grad);
  std::swap(state_->has_grad, other.has_grad);
}

void Variable::rebind(Tensor value, Tensor grad, Tensor copy) const {
  check(value.shape() == shape() && grad.shape() == shape(), "expected memory of shape {}, got {} and {}",
        shape().to_string(), value.shape().to_string(), grad.shape().to_string());
  value_->tensor = std::move(value);
  value_->copy = std::move(copy);
  state_->grad = std::move(grad);
  state_->has_grad = false;
}

void Variable::refresh_copy() const {
  if (value_->copy.defined()) backend().cast(value_->tensor, value_->copy);
}

Tensor Variable::value_as(DType dtype) const {
  if (this->dtype() == dtype) return value();
  if (value_->copy.defined() && value_->copy.dtype() == dtype) return value_->copy;
  Tensor converted = Tensor::empty(backend(), shape(), dtype);
  backend().cast(value(), converted);
  return converted;
}

Tensor GradientTarget::grad_destination() const {
  if (state_->is_leaf && state_->grad.defined() && !state_->has_grad) return state_->grad;
  return Tensor::empty(backend(), shape(), dtype());
}

void GradientTarget::receive_grad(const Tensor& contribution) const {
  if (!requires_grad()) return;
  check(contribution.shape() == shape(), "expected a gradient of shape {}, got {}", shape().to_string(),
        contribution.shape().to_string());
  Tensor& grad = state_->grad;
  if (!state_->has_grad && !state_->is_leaf) {
    grad = contribution;
  } else if (!state_->has_grad) {
    if (contribution.raw_data() != grad.raw_data()) {
      grad.fill_zero();
      backend().add(grad, contribution, grad);
    }
  } else if (state_->is_leaf || grad.is_unique()) {
    backend().add(grad, contribution, grad);
  } else {  // another handle shares the memory of the first contribution
    Tensor sum = Tensor::empty(backend(), shape(), dtype());
    backend().add(grad, contribution, sum);
    grad = sum;
  }
  state_->has_grad = true;
}

void Variable::backward(const Tensor& seed) const {
  check(requires_grad(), "backward() needs a variable that depends on a parameter");
  check(seed.defined() || shape().count() == 1, "backward() without a seed needs a scalar, got shape {}",
        shape().to_string());
  check(!state_->node || state_->node->backward, "backward() was called already: its graph is used up");
  if (seed.defined()) {
    receive_grad(seed);
  } else {
    const Tensor one = Tensor::empty(backend(), shape());
    backend().fill(one, 1.0f);
    receive_grad(one);
  }
  const auto earlier = [](const GradientTarget& a, const GradientTarget& b) {
    return a.state_->node->sequence < b.state_->node->sequence;
  };
  std::priority_queue<GradientTarget, std::vector<GradientTarget>, decltype(earlier)> pending(earlier);
  if (state_->node) pending.push(*this);
  while (!pending.empty()) {
    const GradientTarget target = pending.top();
    pending.pop();
    // A target is pushed once per node that reads it, and processed on its first visit.
    const std::shared_ptr<Node> node = target.state_->node;
    if (!node->backward) continue;
    if (target.has_grad()) {
      node->backward(target.grad());
      target.clear_grad();
    }
    node->backward = nullptr;
    for (const GradientTarget& input : node->release_inputs()) {
      if (input.requires_grad() && input.state_->node) pending.push(input);
    }
  }
}

bool records(const std::vector<Variable>& inputs) {
  return recording &&
         std::any_of(inputs.begin(), inputs.end(), [](const Variable& input) { return input.requires_grad(); });
}

Variable make_result(NormalizedTensor value, const std::vector<Variable>& inputs,
                     std::function<void(const Tensor& grad_output)> backward) {
  Variable result(std::move(value));
  if (!records(inputs)) return result;
  result.state_->requires_grad = true;
  result.state_->is_leaf = false;
  result.state_->node = std::make_shared<Node>(
      next_sequence(), std::vector<GradientTarget>(inputs.begin(), inputs.end()), std::move(backward));
  return result;
}

}  // namespace gradamp
