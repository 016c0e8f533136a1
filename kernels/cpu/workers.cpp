// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/workers.h"

namespace gradamp {

Scratch::Scratch(CachingAllocator& allocator, std::int64_t floats)
    : memory_(allocator.allocate(static_cast<std::size_t>(floats) * sizeof(float))),
      data_(static_cast<float*>(memory_.get())) {}

Scratch::~Scratch() = default;

}  // namespace gradamp
