// SPDX-License-Identifier: MIT
// A place in the source, for messages.
#pragma once

#include <string>

namespace gradamp::emulation {

/// Taken as a defaulted argument, `Site site = Site::here()`, it is the caller's place. (std::source_location is not in
/// every compiler that the emulator is for.)
struct Site {
  const char* file = "?";
  int line = 0;

  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

/// "convolution.cu:120"
std::string to_string(const Site& site);

}  // namespace gradamp::emulation
