// SPDX-License-Identifier: MIT
// Where the program keeps what it can get again: downloaded datasets and the self-checks that passed.
#pragma once

#include <filesystem>

namespace gradamp {

/// $XDG_CACHE_HOME/gradamp, or ~/.cache/gradamp. Error where there is neither.
std::filesystem::path cache_folder();

}  // namespace gradamp
