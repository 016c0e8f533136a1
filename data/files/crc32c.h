// SPDX-License-Identifier: MIT
// CRC-32C (Castagnoli), the checksum of our safetensors files and of TensorBoard's records (RFC 3720, appendix B.4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gradamp {

/// The checksum of `bytes`; with `before`, the checksum of the preceding bytes followed by `bytes`, so that
/// crc32c(b, crc32c(a)) is that of a and b joined. Uses the processor's instruction if the build allows SSE 4.2.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

/// The same, in portable C++ on any processor.
std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace gradamp
