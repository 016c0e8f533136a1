// SPDX-License-Identifier: MIT
// Files that are complete or absent, whatever interrupts the write.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// What happens to the file that a save replaces: it is deleted, or stays available as previous_of(path).
enum class Keep { kNothing, kPrevious };

/// `<path>.previous`, the name under which Keep::kPrevious keeps the replaced file.
std::filesystem::path previous_of(const std::filesystem::path& path);

/// Makes `path` a file that consists of `parts`, in order. A reader of `path` finds the complete old or the complete
/// new file at any time, also after a kill or a power failure in the middle. (On a file system without hard links, with
/// Keep::kPrevious, there is a moment at which the old file is only at previous_of(path).)
///
/// Throws Error with the path, the failed call, its cause, and the resulting state. A failure before the new file is in
/// place leaves the old one untouched and no temporary file. After a later failure, only the new file's survival of a
/// power failure is uncertain. A kill can leave `<path>.tmp` and `<path>.previous.tmp`, which the next save removes.
/// Only one writer per path at a time.
///
/// If `path` was damaged and the work continued from the previous file, save once with Keep::kNothing: this replaces
/// the damaged file and keeps the good previous one.
void write_durably(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts, Keep keep,
                   FileSystem& file_system = real_file_system());

/// Appends `line`, which has no newline, and a newline in one write, and syncs it. Creates the file if there is none.
/// Text after the last newline is a line torn by a crash: it is cut off first. Throws Error with the path and the
/// cause; the file's content is then unchanged. Only one writer per path at a time.
void append_line(const std::filesystem::path& path, std::string_view line,
                 FileSystem& file_system = real_file_system());

/// The file's bytes. Throws Error with the path and the cause.
std::vector<std::byte> read_whole_file(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

}  // namespace gradamp
