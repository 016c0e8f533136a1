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

std::string& typed() {
  static std::string text;
  return text;
}

}  // namespace

const std::string& command_name() { return name(); }

const std::string& typed_command() { return typed().empty() ? name() : typed(); }

std::string shell_word(const std::string& text) {
  constexpr std::string_view kSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:=+@%";
  if (!text.empty() && text.find_first_not_of(kSafe) == std::string::npos) return text;
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string with_command_name(std::string_view text, std::string_view name) {
  constexpr std::string_view kProgram = "{program}";
  std::string result(text);
  if (const std::size_t at = result.find(kProgram); at != result.npos) result.replace(at, kProgram.size(), name);
  return result;
}

void set_command_name(std::string text) { name() = std::move(text); }

void set_typed_command(const std::string& word) { typed() = shell_word(word); }

}  // namespace gradamp
