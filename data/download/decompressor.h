// SPDX-License-Identifier: MIT
// The content of a file that may be compressed. The checksums of every compression are checked: gzip's by zlib, since
// libarchive does not look at them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// How a file is packed, by its first bytes.
enum class Packing { kNone, kGzip, kBzip2, kXz, kZstd, kZip };

/// Throws Error if `file` is not a regular file, cannot be read, is empty, or begins like a file that is not read here
/// (another compression, a page of HTML); the message names what it is.
Packing packing_of(const std::filesystem::path& file, FileSystem& file_system = real_file_system());

/// Decompresses a file piece by piece.
class Decompressor {
 public:
  virtual ~Decompressor() = default;

  /// The next piece, which is valid until the next call; empty at the end. Throws Error with the cause if the file
  /// cannot be read, is damaged or cut short, or has a wrong checksum. At the end, all checksums were right.
  virtual std::span<const std::uint8_t> next() = 0;
};

/// A reader of `file`, which is packed as `packing` (not kZip). Gzip files may have several members and zeros behind
/// the last one. Throws Error if the file cannot be opened.
std::unique_ptr<Decompressor> open_decompressor(const std::filesystem::path& file, Packing packing,
                                                FileSystem& file_system = real_file_system());

}  // namespace gradamp
