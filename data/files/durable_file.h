// SPDX-License-Identifier: MIT
// Files that are whole or not there at all, whatever happens while they are written.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// What becomes of the file that a save replaces: it goes, or it stays reachable as previous_of(path).
enum class Keep { kNothing, kPrevious };

/// `<path>.previous`, the name under which Keep::kPrevious keeps the file before.
std::filesystem::path previous_of(const std::filesystem::path& path);

/// Makes `path` a file of `parts`, one after the other. Whoever reads `path` at any moment, also after a kill or a
/// power failure in the middle, finds the old file or the new one, whole. (On a file system without hard links
/// Keep::kPrevious leaves a moment in which the old file is only at previous_of(path).)
///
/// Throws Error with the path, the failed call, its cause, and what now holds: a failure before the new file is in
/// place leaves the old one untouched and no temporary file; after it, only its survival of a power failure is in
/// doubt. A kill can leave `<path>.tmp` and `<path>.previous.tmp`, which the next save removes. One writer a path at a
/// time.
///
/// Where `path` was found damaged and the work went on from the previous file, save once with Keep::kNothing: the
/// damaged file is replaced and the good previous one stays.
void write_durably(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts, Keep keep,
                   FileSystem& file_system = real_file_system());

/// Appends `line`, which holds no newline, and a newline in one write, and syncs it; makes the file where there is
/// none. Text after the last newline is a line torn by a crash: it is cut off first. Throws Error with the path and the
/// cause; the file then ends as before. One writer a path at a time.
void append_line(const std::filesystem::path& path, std::string_view line,
                 FileSystem& file_system = real_file_system());

/// The file's bytes. Throws Error with the path and the cause.
std::vector<std::byte> read_whole_file(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

}  // namespace gradamp
