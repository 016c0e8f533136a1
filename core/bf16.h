// SPDX-License-Identifier: MIT
// bf16 on the host: the upper half of a float's bits.
#pragma once

#include <bit>
#include <cstdint>

namespace gradamp {

/// Rounds to the nearest bf16, ties to even; a NaN stays a NaN.
constexpr std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

}  // namespace gradamp
