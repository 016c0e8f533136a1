// SPDX-License-Identifier: MIT
// What a compiler's error says of CUDA's names that the emulator does not have.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace gradamp {

/// CUDA's names and headers that the compiler's messages report as unknown, each once, in order.
std::vector<std::string> missing_names(std::string_view errors);

/// For each of them: lines that say that the emulator does not have it, the nearest name that it has, and a list of
/// those that it has of the same kind. "" if the errors are about other names. The names come from the emulator's
/// headers in `header_folder`.
std::string explain_missing_names(std::string_view errors, const std::filesystem::path& header_folder);

}  // namespace gradamp
