// SPDX-License-Identifier: MIT
// Reads .tar and .tar.gz archives with libarchive. An archive is not trusted: names that lead out of its folder, links
// and devices are refused, and so is more content than any archive of ours has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gradamp {

/// Maximum unpacked size. CIFAR's archives unpack to less than 190 MB.
constexpr std::int64_t kMaxArchiveBytes = std::int64_t{1} << 30;

/// Reads those regular files of an archive for which `wanted` (given the path within the archive) is true into memory.
/// Returns them by path. Reads the whole archive, so that damage at its end is detected. Throws Error if the archive
/// cannot be read, is damaged or cut short, has entries other than files and folders, contains a path twice or one that
/// is absolute or contains "..", or unpacks to more than `max_bytes`.
std::map<std::string, std::vector<std::uint8_t>> read_archive(const std::filesystem::path& archive,
                                                              const std::function<bool(const std::string&)>& wanted,
                                                              std::int64_t max_bytes = kMaxArchiveBytes);

/// Passes read_archive to set_archive_reader (data/files/archive_reader.h): CIFAR can then be read from its archives.
void use_libarchive();

/// Unpacks an archive into an existing folder, under the same conditions. After an Error, files that were already
/// unpacked remain, so unpack into a temporary folder. Never overwrites an existing file.
void extract_archive(const std::filesystem::path& archive, const std::filesystem::path& folder,
                     std::int64_t max_bytes = kMaxArchiveBytes);

}  // namespace gradamp
