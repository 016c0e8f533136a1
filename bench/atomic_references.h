// SPDX-License-Identifier: MIT
// The two builds of bench/cuda/atomic_reference.cpp.
#pragma once

#include <memory>

#include "gradamp/bench/arena_reference.h"

namespace gradamp::cuda {
std::unique_ptr<bench::ArenaReference> make_atomic_reference();
}  // namespace gradamp::cuda

namespace gradamp::emulated {
std::unique_ptr<bench::ArenaReference> make_atomic_reference();
}  // namespace gradamp::emulated
