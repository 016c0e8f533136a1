// SPDX-License-Identifier: MIT
#include "gradamp/data/files/crc32c.h"

#include <array>
#include <cstring>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

namespace gradamp {
namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[k][b] is the effect of byte b on the remainder if k more bytes follow it, so eight bytes take eight
// independent look-ups.
constexpr Tables make_tables() {
  constexpr std::uint32_t kReversedPolynomial = 0x82f63b78;
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ (remainder & 1 ? kReversedPolynomial : 0);
    tables[0][byte] = remainder;
  }
  for (std::size_t k = 1; k < tables.size(); ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t shorter = tables[k - 1][byte];
      tables[k][byte] = (shorter >> 8) ^ tables[0][shorter & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t byte_at(const std::byte* bytes, std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); }

}  // namespace

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint32_t remainder = ~before;
  const std::byte* next = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; next += 8, left -= 8) {
    const std::uint32_t low =
        remainder ^ (byte_at(next, 0) | byte_at(next, 1) << 8 | byte_at(next, 2) << 16 | byte_at(next, 3) << 24);
    remainder = kTables[7][low & 0xff] ^ kTables[6][low >> 8 & 0xff] ^ kTables[5][low >> 16 & 0xff] ^
                kTables[4][low >> 24] ^ kTables[3][byte_at(next, 4)] ^ kTables[2][byte_at(next, 5)] ^
                kTables[1][byte_at(next, 6)] ^ kTables[0][byte_at(next, 7)];
  }
  for (; left > 0; ++next, --left) {
    remainder = (remainder >> 8) ^ kTables[0][(remainder ^ byte_at(next, 0)) & 0xff];
  }
  return ~remainder;
}

#ifdef __SSE4_2__
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint64_t remainder = ~before;
  const std::byte* next = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; next += 8, left -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, next, 8);
    remainder = _mm_crc32_u64(remainder, word);
  }
  auto narrow = static_cast<std::uint32_t>(remainder);
  for (; left > 0; ++next, --left) narrow = _mm_crc32_u8(narrow, std::to_integer<unsigned char>(*next));
  return ~narrow;
}
#else
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) { return crc32c_by_table(bytes, before); }
#endif

}  // namespace gradamp
