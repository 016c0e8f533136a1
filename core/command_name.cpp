// SPDX-License-Identifier: MIT
#include "gradamp/core/command_name.h"

#include <utility>

namespace gradamp {
namespace {

std::string& name() {
  static std::string text = "gradamp";
  return text;
}

}  // namespace

const std::string& command_name() { return name(); }

void set_command_name(std::string text) { name() = std::move(text); }

}  // namespace gradamp
