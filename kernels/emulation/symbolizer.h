// SPDX-License-Identifier: MIT
// Names for code addresses, for messages.
#pragma once

#include <string>

namespace gradamp::emulation {

/// "convolution.cu:120", as far as debug information and addr2line (of binutils) are there; else a function's name, or
/// the address within its program. Of code that was inlined it names the kernel file, not the headers that the words of
/// CUDA are made of.
std::string describe_code(const void* code);

}  // namespace gradamp::emulation
