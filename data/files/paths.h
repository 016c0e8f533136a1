// SPDX-License-Identifier: MIT
// Questions about paths whose failures are Errors with the path and the cause. The functions of std::filesystem throw
// an exception of their own.
#pragma once

#include <filesystem>

namespace gradamp {

/// Whether there is something at `path`. Error if that cannot be told: the path is too long, not permitted, or a loop
/// of links.
bool path_exists(const std::filesystem::path& path);
/// Whether there is a folder at `path`. Error as for path_exists.
bool is_folder(const std::filesystem::path& path);
/// `path` from the root on, without "." and "..". Error if it is relative and the current folder was deleted.
std::filesystem::path absolute_path(const std::filesystem::path& path);

}  // namespace gradamp
