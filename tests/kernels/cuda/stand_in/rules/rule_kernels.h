// SPDX-License-Identifier: MIT
// Kernels for rules_test.cpp, with launches that bypass the engine's checks.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace gradamp::stand_in_rules {

enum class RuleKernel {
  kStaticShared,  // 512 bytes of static shared memory; writes its dynamic memory
  kBounded,       // __launch_bounds__(128)
  kRegisters,     // more than 64 registers per thread, without bounds
  kStore,         // stores one value through the pointer
};

const void* function_of(RuleKernel kernel);

/// Launches with `out` as the kernel's argument.
cudaError_t launch(RuleKernel kernel, dim3 grid, dim3 block, std::size_t dynamic_shared, float* out,
                   cudaStream_t stream = nullptr);

}  // namespace gradamp::stand_in_rules
