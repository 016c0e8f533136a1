// SPDX-License-Identifier: MIT
// The program's name, for messages that advise the user to run one of its commands.
#pragma once

#include <string>
#include <string_view>

namespace gradamp {

/// "gradamp", or in a program that calls run_program the name in argv[0] without its folder.
const std::string& command_name();

/// `text` with `name` for its {program}, which it may have once.
std::string with_command_name(std::string_view text, std::string_view name = command_name());

/// Sets the name. run_program calls this first, while there is only one thread.
void set_command_name(std::string name);

}  // namespace gradamp
