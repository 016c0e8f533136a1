// SPDX-License-Identifier: MIT
#include "gradamp/data/files/crc32c.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradamp {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// The definition: a polynomial division, one bit at a time.
std::uint32_t by_division(std::span<const std::byte> bytes) {
  std::uint32_t remainder = 0xffffffff;
  for (std::byte byte : bytes) {
    remainder ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) remainder = remainder & 1 ? (remainder >> 1) ^ 0x82f63b78 : remainder >> 1;
  }
  return ~remainder;
}

// The check value of the CRC catalogs, and the examples of RFC 3720, B.4.
TEST(Crc32c, PublishedValues) {
  struct Example {
    std::string text;
    std::uint32_t sum;
  };
  std::string rising, falling;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i), falling += static_cast<char>(31 - i);
  const Example examples[] = {{"123456789", 0xe3069283},
                              {"", 0},
                              {std::string(32, '\0'), 0x8a9136aa},
                              {std::string(32, '\xff'), 0x62a8ab43},
                              {rising, 0x46dd794e},
                              {falling, 0x113fdb5c}};
  for (const Example& example : examples) {
    EXPECT_EQ(crc32c(bytes_of(example.text)), example.sum) << example.text;
    EXPECT_EQ(crc32c_by_table(bytes_of(example.text)), example.sum) << example.text;
  }
}

TEST(Crc32c, EveryLengthAndAlignmentAgreesWithDivision) {
  std::vector<std::byte> bytes(64 + 8);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
  for (std::size_t start = 0; start < 8; ++start) {
    for (std::size_t length = 0; length <= 64; ++length) {
      const auto part = std::span<const std::byte>(bytes).subspan(start, length);
      ASSERT_EQ(crc32c(part), by_division(part)) << start << " " << length;
      ASSERT_EQ(crc32c_by_table(part), by_division(part)) << start << " " << length;
    }
  }
}

TEST(Crc32c, GoesOnFromABeginning) {
  const std::string text = "The quick brown fox jumps over the lazy dog";
  const std::uint32_t whole = crc32c(bytes_of(text));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const auto first = bytes_of(text).first(cut);
    const auto rest = bytes_of(text).subspan(cut);
    EXPECT_EQ(crc32c(rest, crc32c(first)), whole) << cut;
    EXPECT_EQ(crc32c_by_table(rest, crc32c_by_table(first)), whole) << cut;
  }
}

}  // namespace
}  // namespace gradamp
