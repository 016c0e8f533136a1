// SPDX-License-Identifier: MIT
// The kernels that the program registered, with the image that the device uses for each.
#pragma once

#include <optional>
#include <string>

#include "gradamp/kernels/emulation/launch_rules.h"
#include "gradamp/tests/kernels/cuda/stand_in/fat_binary.h"
#include "gradamp/tests/kernels/cuda/stand_in/ptx_kernels.h"

namespace gradamp::stand_in {

struct Kernel {
  std::string mangled_name, name;  // readable_name()
  const Module* module = nullptr;
  std::string image;                        // "sm_90", "compute_90"; empty: none for this device
  int binary_version = 0, ptx_version = 0;  // 90
  emulation::KernelFacts facts;
  const PtxKernel* code = nullptr;  // null: not translated
  bool loaded = false;
};

/// The program launches the kernel by the address `function`.
void register_kernel(const void* function, const char* mangled_name, const Module* module);

/// Null if `function` is no kernel.
Kernel* find_kernel(const void* function);

}  // namespace gradamp::stand_in
