// SPDX-License-Identifier: MIT
// A position in the source, for messages.
#pragma once

#include <string>

namespace gradamp::emulation {

/// Taken as a defaulted argument, `SourceLocation location = SourceLocation::here()`, it is that of the caller.
/// (std::source_location is not in every compiler that the emulator is for.)
struct SourceLocation {
  const char* file = "?";
  int line = 0;

  static constexpr SourceLocation here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// "convolution.cu:120"
std::string to_string(const SourceLocation& location);

}  // namespace gradamp::emulation
