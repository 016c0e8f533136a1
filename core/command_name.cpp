// SPDX-License-Identifier: MIT
#include "gradamp/core/command_name.h"

#include <cstddef>
#include <utility>

namespace gradamp {
namespace {

std::string& name() {
  static std::string text = "gradamp";
  return text;
}

}  // namespace

const std::string& command_name() { return name(); }

std::string with_command_name(std::string_view text, std::string_view name) {
  constexpr std::string_view kProgram = "{program}";
  std::string result(text);
  if (const std::size_t at = result.find(kProgram); at != result.npos) result.replace(at, kProgram.size(), name);
  return result;
}

void set_command_name(std::string text) { name() = std::move(text); }

}  // namespace gradamp
