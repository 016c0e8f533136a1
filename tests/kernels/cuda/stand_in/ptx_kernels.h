// SPDX-License-Identifier: MIT
// The kernels that ptx_to_cpp.py translated from nvcc's PTX, by name.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace gradamp::stand_in {

struct PtxParameter {
  std::size_t offset, bytes;
};

struct PtxKernel {
  void (*run)(const void* argument_bytes) = nullptr;  // runs one thread
  std::vector<PtxParameter> parameters;
  std::size_t static_shared = 0;  // bytes, in front of the launch's dynamic memory
};

/// Called by the translated files before main. A `variant` is one translation of the program's kernels: "shipped" (the
/// PTX inside the objects), "uncontracted" (compiled with -fmad=false), and planted faults.
bool add_ptx_kernel(const char* variant, const char* mangled_name, PtxKernel kernel);

/// The kernel from the first of `variants` that has it; null if none has. `readable_name` is from readable_name().
const PtxKernel* find_ptx_kernel(std::span<const std::string> variants, const std::string& readable_name);

/// Converts a mangled name to, for example, "convolution_forward<(gradamp::Precision)2, 128>": without parameter list,
/// return type, the engine's namespaces, and nvcc's name for an unnamed namespace, which depends on compiler options.
std::string readable_name(const std::string& mangled_name);

}  // namespace gradamp::stand_in
