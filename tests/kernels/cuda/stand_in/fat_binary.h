// SPDX-License-Identifier: MIT
// The device code inside a program: what nvcc registers before main.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/launch_rules.h"

namespace gradamp::stand_in {

struct Image {
  bool is_ptx;
  int architecture;  // 90 for compute capability 9.0
  const char* data;  // of a binary: an ELF file
};

using Module = std::vector<Image>;

/// The images behind the wrapper that __cudaRegisterFatBinary is given. Error if it is not one.
Module read_fat_binary(const void* wrapper);

/// The image that a device's driver takes: a binary of the same major version and no newer minor version, else PTX that
/// is no newer than the device (CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility"). Null:
/// none.
const Image* image_for(const Module& module, int architecture);

/// A kernel's resources, from a binary. Error if the binary does not have the kernel.
emulation::KernelFacts kernel_facts(const Image& binary, const std::string& mangled_name);

}  // namespace gradamp::stand_in
