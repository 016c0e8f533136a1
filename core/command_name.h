// SPDX-License-Identifier: MIT
// The program's name, for messages that advise the user to run one of its commands.
#pragma once

#include <string>
#include <string_view>

namespace gradamp {

/// "gradamp", or in a program that calls run_program the name in argv[0] without its folder.
const std::string& command_name();

/// The program as the user typed it, for a command that can be pasted into the same shell: "build/gradamp", quoted if
/// necessary. command_name() unless set_typed_command was called.
const std::string& typed_command();

/// `text`, quoted so that a shell reads it as one word.
std::string shell_word(const std::string& text);

/// `text` with `name` for its {program}, which it may have once.
std::string with_command_name(std::string_view text, std::string_view name = command_name());

/// Sets the name, and how it was typed. run_program calls these first, while there is only one thread.
void set_command_name(std::string name);
void set_typed_command(const std::string& word);

}  // namespace gradamp
