// SPDX-License-Identifier: MIT
// Text from outside the program (names, paths, values of files) as a part of a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gradamp {

/// Whether `text` is valid UTF-8: no overlong forms, no surrogates, at most U+10FFFF.
bool is_utf8(std::string_view text);

/// `text` for a terminal and for a message of one line. Escapes what could act on a terminal or break the line, as in
/// C: control characters ("\n", "\x1b", "\u0085"), Unicode's line separators and marks of writing direction
/// ("\u202e"), and bytes that are not UTF-8 ("\xff").
std::string printable(std::string_view text);

/// `text` for a message if it has at most `max_bytes`; otherwise its beginning and its length: "aaaa... (5000 bytes)".
/// A character of UTF-8 is not cut.
std::string shortened(std::string_view text, std::size_t max_bytes = 200);

}  // namespace gradamp
