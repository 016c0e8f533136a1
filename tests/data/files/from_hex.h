// SPDX-License-Identifier: MIT
// Binary files in the source of a test.
#pragma once

#include <string>
#include <string_view>

namespace gradamp {

/// The bytes that `digits` stands for: two hexadecimal digits a byte.
inline std::string from_hex(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

}  // namespace gradamp
