// SPDX-License-Identifier: MIT
// A source location, for messages.
#pragma once

#include <string>

namespace gradamp::emulation {

/// As a default argument, `SourceLocation location = SourceLocation::here()`, it is the caller's location. (Not every
/// compiler that the emulator supports has std::source_location.)
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
