// SPDX-License-Identifier: MIT
// f16 (IEEE 754 binary16) on the host: for weights of other programs, and for libraries with no other 16-bit type.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace gradamp {

/// The bits of `value`, which must be 0 or have a magnitude from 2^-14 to 65504, with at most 11 significant bits.
constexpr std::uint16_t to_f16_exactly(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  // The exponent's bias is 127 in f32 and 15 in f16.
  return static_cast<std::uint16_t>(magnitude == 0 ? sign : sign | ((magnitude >> 13) - ((127u - 15u) << 10)));
}

inline float from_f16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                  : std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
  if (exponent == 0x1f) magnitude = fraction == 0 ? HUGE_VALF : NAN;
  return bits & 0x8000u ? -magnitude : magnitude;
}

}  // namespace gradamp
