// SPDX-License-Identifier: MIT
// What a plain program is told about its mistakes: each once per line of the program, with a hint what to do.
#pragma once

#include <string>
#include <string_view>

namespace gradamp::emulation {

/// Prints a mistake on stderr; a message of several lines has one mistake per line. The program's exit code is then 1.
/// A mistake that differs from an earlier one only in threads and addresses is counted, and told at the program's end.
void report_finding(std::string_view message) noexcept;

/// What to do about a mistake; "" if there is no advice.
std::string_view hint_for(std::string_view message);

/// The message without what differs between two mistakes at one line: threads, blocks, addresses and sizes.
std::string without_numbers(std::string_view message);

}  // namespace gradamp::emulation
