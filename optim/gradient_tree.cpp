// SPDX-License-Identifier: MIT
#include "gradamp/optim/gradient_tree.h"

#include "gradamp/core/backend.h"

namespace gradamp {

void GradientTree::add(const Tensor& gradient) {
  check(!is_complete(), "expected the gradients of {} shards, got one more", shards_);
  Backend& backend = gradient.backend();
  // As in a binary counter: each bit of the number that is set is a subtree that waits, and adding one carries over
  // ones.
  for (std::int64_t bits = added_; (bits & 1) != 0; bits >>= 1) {
    backend.add(gradient, subtrees_.back(), gradient);
    subtrees_.pop_back();
  }
  ++added_;
  if (is_complete()) return;
  subtrees_.push_back(Tensor::empty(backend, gradient.shape()));
  backend.cast(gradient, subtrees_.back());  // of equal types: a copy
}

}  // namespace gradamp
