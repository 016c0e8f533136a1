// SPDX-License-Identifier: MIT
// The message of any exception, in the words of this program.
#pragma once

#include <exception>
#include <string>

namespace gradamp {

/// The message for the user. Exceptions of std::filesystem and of the JSON library, which have names and codes of their
/// own in their messages, are reworded: "runs/a: Permission denied".
std::string message_of(const std::exception& error);

}  // namespace gradamp
