// SPDX-License-Identifier: MIT
// The device code inside a program, which nvcc's code registers before main.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/launch_rules.h"

namespace gradamp::stand_in {

struct Image {
  bool is_ptx;
  int architecture;  // 90 for compute capability 9.0
  const char* data;  // an ELF file, if it is a binary
};

using Module = std::vector<Image>;

/// The images in the wrapper that is passed to __cudaRegisterFatBinary. Error if it is not such a wrapper.
Module read_fat_binary(const void* wrapper);

/// The image that a device's driver would choose: a binary of the same major version and no newer minor version, else
/// PTX that is no newer than the device (CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility").
/// Null if there is none.
const Image* image_for(const Module& module, int architecture);

/// A kernel's resources, from a binary. Error if the binary does not have the kernel.
emulation::KernelFacts kernel_facts(const Image& binary, const std::string& mangled_name);

}  // namespace gradamp::stand_in
