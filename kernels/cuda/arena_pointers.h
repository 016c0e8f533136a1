// SPDX-License-Identifier: MIT
// An Arena as the optimizer's kernels take it. Host files only.
#pragma once

#include "gradamp/core/backend.h"
#include "gradamp/kernels/cuda/optimizer.h"

namespace gradamp::GRADAMP_GPU {

/// Pointers into the arena's tensors, null for those that it does not have; `count` is that of the weights, without
/// weights of the gradients. Error if the device cannot count the layers or neurons.
ArenaPointers arena_pointers(const Arena& arena);

}  // namespace gradamp::GRADAMP_GPU
