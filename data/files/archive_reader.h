// SPDX-License-Identifier: MIT
// The archive reader of this process. The engine has no library for archives, so a program that has one registers it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// Whether a member of an archive is wanted, given its path within the archive: its largest size in bytes, or nothing.
using MemberLimit = std::function<std::optional<std::int64_t>(const std::string& path)>;

/// Reads the wanted files of `archive`. Returns their contents by path. Error if one is larger than its limit.
using ArchiveReader = std::function<std::map<std::string, std::vector<std::uint8_t>>(
    const std::filesystem::path& archive, const MemberLimit& wanted, FileSystem& file_system)>;

/// Sets this process's reader; run_program sets one that uses libarchive (data/download/archive.h). Call it before any
/// thread reads an archive.
void set_archive_reader(ArchiveReader reader);

/// Calls the reader. If none was set, an Error that asks for a folder instead of `archive`.
std::map<std::string, std::vector<std::uint8_t>> read_with_archive_reader(const std::filesystem::path& archive,
                                                                          const MemberLimit& wanted,
                                                                          FileSystem& file_system = real_file_system());

}  // namespace gradamp
