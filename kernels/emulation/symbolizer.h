// SPDX-License-Identifier: MIT
// Names for code addresses, for messages.
#pragma once

#include <string>

namespace gradamp::emulation {

/// "convolution.cu:120" if debug information and addr2line (of binutils) are available; else the function's name, or
/// the address in its program. For inlined code it names the kernel file, not the headers that implement the
/// intrinsics.
std::string describe_code(const void* code);

}  // namespace gradamp::emulation
