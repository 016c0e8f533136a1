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

/// No archive that we read unpacks to more: CIFAR's are under 190 MB.
constexpr std::int64_t kMaxArchiveBytes = std::int64_t{1} << 30;

/// Reads the regular files of an archive for which `wanted` (given the path within the archive) is true into memory, by
/// their paths within it. The whole archive is read, so that a damaged end is noticed.
/// Throws Error for an archive that cannot be read, is damaged or cut short, holds something else than files and
/// folders, names a path twice or one that is absolute or contains "..", or unpacks to more than `max_bytes`.
std::map<std::string, std::vector<std::uint8_t>> read_archive(const std::filesystem::path& archive,
                                                              const std::function<bool(const std::string&)>& wanted,
                                                              std::int64_t max_bytes = kMaxArchiveBytes);

/// read_archive as what set_archive_reader (data/files/archive_reader.h) takes: CIFAR is then read from its archives.
void use_libarchive();

/// Unpacks an archive into an existing folder, under the same conditions. On an Error, files already unpacked stay:
/// unpack into a temporary folder. Never writes over an existing file.
void extract_archive(const std::filesystem::path& archive, const std::filesystem::path& folder,
                     std::int64_t max_bytes = kMaxArchiveBytes);

}  // namespace gradamp
