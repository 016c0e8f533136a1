// SPDX-License-Identifier: MIT
// Questions about paths whose failures are Errors with the path and the cause. The functions of std::filesystem throw
// an exception of their own.
#pragma once

#include <filesystem>

namespace gradamp {

/// The status of what is at `path`, or of the target if that is a link; also that nothing is there. Error if that
/// cannot be told: the path is too long, not permitted, or a loop of links.
std::filesystem::file_status status_of(const std::filesystem::path& path);
/// Error unless `status`, that of `path`, is of a regular file: it names what is there instead.
void check_is_file(const std::filesystem::path& path, const std::filesystem::file_status& status);
/// Whether there is something at `path`. Error as for status_of.
bool path_exists(const std::filesystem::path& path);
/// Whether there is a folder at `path`. Error as for status_of.
bool is_folder(const std::filesystem::path& path);
/// `path` from the root on, without "." and "..". Error if it is relative and the current folder was deleted.
std::filesystem::path absolute_path(const std::filesystem::path& path);

}  // namespace gradamp
