// SPDX-License-Identifier: MIT
// The folder for files that the program can create again: downloaded datasets and records of passed self-checks.
#pragma once

#include <filesystem>

namespace gradamp {

/// $XDG_CACHE_HOME/gradamp, or ~/.cache/gradamp. Error if neither XDG_CACHE_HOME nor HOME is set.
std::filesystem::path cache_folder();

}  // namespace gradamp
