// SPDX-License-Identifier: MIT
// Names for code addresses, for messages.
#pragma once

#include <string>

namespace gradamp::emulation {

/// "convolution.cu:120" if debug information and addr2line (of binutils) are available; else the function's name, or
/// the address in its program. For inlined code it names the kernel file, not the headers that implement the
/// intrinsics.
std::string describe_code(const void* code);

/// A call on this OS thread's stack, in a function that is not of the emulator or of a library.
struct CallSite {
  std::string place;   // "a.cu:12"; "" if there is none
  std::string callee;  // the library's function that was called there; "" if it is not known
};

/// The innermost one. `interrupted`, if not null: the instruction at which a signal came.
CallSite own_call_site(const void* interrupted = nullptr);

}  // namespace gradamp::emulation
