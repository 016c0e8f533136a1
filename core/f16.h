// SPDX-License-Identifier: MIT
// f16 (IEEE 754 binary16) on the host: for weights of other programs, and for libraries with no other 16-bit type.
#pragma once

#include <cstdint>

#include "gradamp/core/host_device.h"

namespace gradamp {

/// Rounds to the nearest f16, ties to even; too large values become infinite, and a NaN stays a NaN.
GRADAMP_HOST_DEVICE constexpr std::uint16_t to_f16(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  std::uint32_t rounded;
  if (magnitude >= 0x477ff000u) {  // 65520: the middle of the largest f16 and 2^16
    rounded = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14 f16 has steps of 2^-24, as f32 has from 0.5 on
    rounded = bits_as<std::uint32_t>(bits_as<float>(magnitude) + 0.5f) - bits_as<std::uint32_t>(0.5f);
  } else {
    rounded = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - ((127u - 15u) << 23)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | rounded);
}

/// Exact. Without a branch, so that loops become vectors.
GRADAMP_HOST_DEVICE constexpr float from_f16(std::uint16_t bits) {
  const std::uint32_t magnitude = (bits & 0x7fffu) << 13, sign = (bits & 0x8000u) << 16;
  const std::uint32_t finite = bits_as<std::uint32_t>(bits_as<float>(magnitude) * 0x1p112f);
  return bits_as<float>(sign | ((bits & 0x7c00u) == 0x7c00u ? 0x7f800000u | magnitude : finite));
}

/// An element of an f16 tensor on the host. Arithmetic is done in float.
struct F16 {
  std::uint16_t bits;

  constexpr F16& operator=(float value) {
    bits = to_f16(value);
    return *this;
  }
  constexpr operator float() const { return from_f16(bits); }
};

}  // namespace gradamp
