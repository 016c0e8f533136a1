// SPDX-License-Identifier: MIT
// Builds tar and gzip files by hand, so that tests of their readers depend only on the formats and can also contain
// entries that no archive should have.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {

using std::string_literals::operator""s;  // for texts with zero bytes

/// One entry of a tar archive; type '0' is a file, '5' a folder, '1' and '2' hard and symbolic links.
struct TarEntry {
  std::string path;
  std::string content;
  char type = '0';
  std::string link = {};
};

/// A POSIX ustar archive.
inline std::string make_tar(const std::vector<TarEntry>& entries) {
  std::string tar;
  for (const TarEntry& entry : entries) {
    std::array<char, 512> header{};
    const auto put = [&](std::size_t at, const std::string& text) {
      std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at));
    };
    put(0, entry.path);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, fmt::format("{:011o}", entry.content.size()));
    put(136, "00000000000");
    put(148, "        ");
    header[156] = entry.type;
    put(157, entry.link);
    put(257,
        "ustar\0"
        "00"s);
    unsigned sum = 0;
    for (const char byte : header) sum += static_cast<unsigned char>(byte);
    put(148, fmt::format("{:06o}", sum) + "\0 "s);
    tar.append(header.data(), header.size());
    tar += entry.content;
    tar.append((512 - entry.content.size() % 512) % 512, '\0');
  }
  tar.append(1024, '\0');
  return tar;
}

/// A gzip file (RFC 1952) of stored, not compressed, blocks (RFC 1951, 3.2.4).
inline std::string make_gzip(const std::string& content) {
  const auto little_endian = [](std::uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  };
  std::string gzip = "\x1f\x8b\x08\0\0\0\0\0\0\xff"s;
  for (std::size_t at = 0; at < content.size() || at == 0;) {
    const std::size_t size = std::min<std::size_t>(content.size() - at, 65535);
    const auto length = static_cast<std::uint32_t>(size);
    gzip += at + size == content.size() ? '\1' : '\0';
    gzip += little_endian(length, 2) + little_endian(~length, 2) + content.substr(at, size);
    at += std::max<std::size_t>(size, 1);
  }
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : content) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
  }
  return gzip + little_endian(~crc, 4) + little_endian(static_cast<std::uint32_t>(content.size()), 4);
}

/// Writes a file and creates its parent folders.
inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  put_text(path, text);
}

}  // namespace gradamp
