// SPDX-License-Identifier: MIT
// How archives are read: the engine has no library for that, so a program that has one registers it here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gradamp {

/// Reads the files of `archive` for which `wanted` (given the path within the archive) is true, by their paths within
/// it.
using ArchiveReader = std::function<std::map<std::string, std::vector<std::uint8_t>>(
    const std::filesystem::path& archive, const std::function<bool(const std::string&)>& wanted)>;

/// Sets this process's reader; run_program sets one that uses libarchive (data/download/archive.h). Call it before any
/// thread reads an archive.
void set_archive_reader(ArchiveReader reader);

/// Error that asks for a folder in place of `archive` if no reader was set.
std::map<std::string, std::vector<std::uint8_t>> read_with_archive_reader(
    const std::filesystem::path& archive, const std::function<bool(const std::string&)>& wanted);

}  // namespace gradamp
