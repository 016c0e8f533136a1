// SPDX-License-Identifier: MIT
// Reads archives with libarchive: .tar, also compressed by gzip, bzip2, xz or zstd, and .zip. An archive is not
// trusted: of the wanted members, names that lead out of the folder, links and devices are refused, and so is more
// content than any archive of ours has. Other members are skipped, whatever they are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gradamp/data/files/archive_reader.h"
#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// Maximum unpacked size. CIFAR's archives unpack to less than 190 MB.
constexpr std::int64_t kMaxArchiveBytes = std::int64_t{1} << 30;

/// Wants every member, of any size.
std::optional<std::int64_t> any_member(const std::string& path);

/// Reads the wanted regular files of an archive into memory. Returns them by path. Reads the whole archive, so that
/// damage at its end is detected, and its checksums. Throws Error if the archive cannot be read, is damaged, cut short
/// or of another format; if a wanted member is no file or folder, occurs twice, is larger than its limit, or has a path
/// that is absolute or contains ".."; or if the wanted files have more than `max_bytes`. Sizes are judged before a
/// member is unpacked.
std::map<std::string, std::vector<std::uint8_t>> read_archive(const std::filesystem::path& archive,
                                                              const MemberLimit& wanted,
                                                              std::int64_t max_bytes = kMaxArchiveBytes,
                                                              FileSystem& file_system = real_file_system());

/// Passes read_archive to set_archive_reader (data/files/archive_reader.h): CIFAR can then be read from its archives.
void use_libarchive();

/// Unpacks the wanted members of an archive into an existing folder, under the same conditions. After an Error, files
/// that were already unpacked remain, so unpack into a temporary folder. Never overwrites an existing file.
void extract_archive(const std::filesystem::path& archive, const std::filesystem::path& folder,
                     std::int64_t max_bytes = kMaxArchiveBytes, const MemberLimit& wanted = any_member,
                     FileSystem& file_system = real_file_system());

}  // namespace gradamp
