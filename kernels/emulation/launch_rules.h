// SPDX-License-Identifier: MIT
// The rules by which CUDA refuses a launch. Both the emulator's runtime and the tests' stand-in for NVIDIA's runtime
// follow them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "gradamp/kernels/emulation/runtime.h"
#include "gradamp/kernels/emulation/vector_types.h"

namespace gradamp::emulation {

/// A device's limits for a launch. The defaults are those of compute capability 9.0. Source of each number: CUDA C++
/// Programming Guide, "Technical Specifications per Compute Capability".
struct DeviceLimits {
  std::size_t shared_default = 48 << 10;  // per block without opt-in: static + dynamic
  std::size_t shared_opt_in = 227 << 10;  // per block, maximum
  int registers_per_block = 65536;
  unsigned max_threads = 1024, max_block_z = 64, max_grid_x = 2147483647, max_grid_yz = 65535;
};

/// Facts about a kernel; 0: unknown. The emulator learns `static_shared` while a block runs and `max_threads` from the
/// program (launch_bounds.h). It never learns `registers`, which only the binaries of ptxas contain.
struct KernelFacts {
  std::size_t static_shared = 0;
  int registers = 0;                // per thread
  unsigned max_threads = 0;         // of __launch_bounds__
  std::size_t allowed_dynamic = 0;  // set by cudaFuncSetAttribute; 0: never set
};

struct LaunchShape {
  emulated::dim3 grid, block;
  std::size_t dynamic_shared = 0;
};

struct Refusal {
  emulated::cudaError_t error;
  std::string reason;  // what was requested, and what the device allows
};

/// Nothing if the device accepts the launch.
std::optional<Refusal> refusal(const DeviceLimits& limits, const KernelFacts& kernel, const LaunchShape& shape);

/// The rule for shared memory alone, which refusal() includes.
std::optional<Refusal> shared_memory_refusal(const DeviceLimits& limits, const KernelFacts& kernel,
                                             std::size_t dynamic_shared);

/// The rule of cudaFuncSetAttribute(cudaFuncAttributeMaxDynamicSharedMemorySize, `bytes`).
std::optional<Refusal> allowance_refusal(const DeviceLimits& limits, const KernelFacts& kernel, int bytes);

}  // namespace gradamp::emulation
