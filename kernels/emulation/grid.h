// SPDX-License-Identifier: MIT
// A launch: its blocks run in parallel on the threads of core/thread_pool.h.
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
  const void* kernel = nullptr;  // address of the kernel; null: its facts are not recorded
  KernelFacts facts = {};        // of the kernel, at the time of the launch
};

/// The kernel of a launch with its arguments: each thread calls it.
struct KernelCall {
  void (*run)(const void* arguments);
  const void* arguments;
};

/// Error if CUDA would refuse the launch.
void check_shape(const GridShape& shape);

/// Error if a thread of the launch failed.
void run_grid(const GridShape& shape, const KernelCall& kernel);

}  // namespace gradamp::emulation
