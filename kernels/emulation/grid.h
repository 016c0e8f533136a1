// SPDX-License-Identifier: MIT
// A launch: its blocks, side by side on OpenMP's threads.
#pragma once

#include <cstddef>

#include "gradamp/kernels/emulation/launch_rules.h"
#include "gradamp/kernels/emulation/source_location.h"
#include "gradamp/kernels/emulation/vector_types.h"

namespace gradamp::emulation {

struct GridShape {
  emulated::dim3 grid, block;
  std::size_t dynamic_shared_bytes = 0;
  SourceLocation location;
  const void* kernel = nullptr;  // its address; null: nothing is to be learned of it
  KernelFacts facts = {};        // of the kernel, as they were at the launch
};

/// The kernel of a launch with its arguments: what each thread calls.
struct KernelCall {
  void (*run)(const void* arguments);
  const void* arguments;
};

/// Error if CUDA would refuse the launch.
void check_shape(const GridShape& shape);

/// Error where a thread of it failed.
void run_grid(const GridShape& shape, const KernelCall& kernel);

}  // namespace gradamp::emulation
