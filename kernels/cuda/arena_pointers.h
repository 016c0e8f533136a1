// SPDX-License-Identifier: MIT
// An Arena in the form that the optimizer's kernels take. Host files only.
#pragma once

#include "gradamp/core/backend.h"
#include "gradamp/kernels/cuda/optimizer.h"

namespace gradamp::GRADAMP_GPU {

/// Pointers into the arena's tensors, null for undefined ones. `count` is that of the weights or, without weights, of
/// the gradients. Error if the kernels' 32-bit indices cannot count the layers or neurons.
ArenaPointers arena_pointers(const Arena& arena);

}  // namespace gradamp::GRADAMP_GPU
