// SPDX-License-Identifier: MIT
// What the program is called in messages that advise to run one of its commands.
#pragma once

#include <string>

namespace gradamp {

/// "gradamp"; in a program built on run_program the name that it was called by, without its folder.
const std::string& command_name();

/// Sets it. Called by run_program before anything else, while there is one thread.
void set_command_name(std::string name);

}  // namespace gradamp
