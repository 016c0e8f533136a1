// SPDX-License-Identifier: MIT
// Questions about paths whose failures are Errors with the path and the cause. The functions of std::filesystem throw
// an exception of their own, or answer "no" after a failure.
#pragma once

#include <filesystem>
#include <optional>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// The status of what is at `path`, or of the target if that is a link; nothing if nothing is there. Error if that
/// cannot be told: the path is too long, not permitted, or a loop of links, or a call fails.
std::optional<FileStatus> status_of(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
/// Whether there is something at `path`. Error as for status_of.
bool path_exists(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
/// Whether there is a folder at `path`. Error as for status_of.
bool is_folder(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
/// Whether `path` is missing or an empty folder. Error as for status_of.
bool is_free(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
/// `path` from the root on, without "." and "..". Error if it is relative and the current folder was deleted.
std::filesystem::path absolute_path(const std::filesystem::path& path);

}  // namespace gradamp
