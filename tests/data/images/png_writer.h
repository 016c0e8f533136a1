// SPDX-License-Identifier: MIT
// Writes a PNG file without a library and without compression, for small images.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace gradamp::test {

/// A PNG file of 8-bit values (height, width, channels), channels 1 or 3. At most 65535 bytes with a byte per row.
inline std::string png_of(std::span<const std::uint8_t> values, std::uint32_t height, std::uint32_t width,
                          std::uint32_t channels) {
  const auto big_endian = [](std::uint32_t number) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((number >> shift) & 255);
    return bytes;
  };
  const auto crc = [](const std::string& bytes) {
    std::uint32_t sum = 0xffffffff;
    for (const char byte : bytes) {
      sum ^= static_cast<unsigned char>(byte);
      for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0xedb88320u : 0u);
    }
    return ~sum;
  };
  const auto chunk = [&](const std::string& type, const std::string& data) {
    return big_endian(static_cast<std::uint32_t>(data.size())) + type + data + big_endian(crc(type + data));
  };
  std::string rows;
  for (std::uint32_t row = 0; row < height; ++row) {
    rows += '\0';  // no filter
    for (std::uint32_t i = 0; i < width * channels; ++i) rows += static_cast<char>(values[row * width * channels + i]);
  }
  std::uint32_t a = 1, b = 0;  // Adler-32
  for (const char byte : rows) {
    a = (a + static_cast<unsigned char>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  const auto size = static_cast<std::uint32_t>(rows.size());
  std::string stream = "\x78\x01\x01";  // zlib's header, and one last block that is stored
  for (const std::uint32_t number : {size, ~size}) {
    stream += static_cast<char>(number & 255);
    stream += static_cast<char>((number >> 8) & 255);
  }
  stream += rows + big_endian((b << 16) | a);
  std::string header = big_endian(width) + big_endian(height) + '\x08' + (channels == 3 ? '\x02' : '\x00');
  header += std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", stream) + chunk("IEND", "");
}

}  // namespace gradamp::test
