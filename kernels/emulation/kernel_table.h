// SPDX-License-Identifier: MIT
// The emulator's facts about each kernel that was launched or queried, by the kernel's address.
#pragma once

#include <cstddef>

#include "gradamp/kernels/emulation/launch_rules.h"

namespace gradamp::emulation {

KernelFacts facts_of(const void* kernel);

/// A block of the kernel declared this much SHARED memory.
void learn_static_shared(const void* kernel, std::size_t bytes);

/// Sets the limit of cudaFuncSetAttribute.
void allow_dynamic_shared(const void* kernel, std::size_t bytes);

}  // namespace gradamp::emulation
