// SPDX-License-Identifier: MIT
// bf16 on the host: the upper half of a float's bits.
#pragma once

#include <cstdint>

#include "gradamp/core/host_device.h"

namespace gradamp {

/// Rounds to the nearest bf16, ties to even; a NaN stays a NaN. Without a branch, so that loops become vectors.
GRADAMP_HOST_DEVICE constexpr std::uint16_t to_bf16(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  return static_cast<std::uint16_t>((value != value ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

GRADAMP_HOST_DEVICE constexpr float from_bf16(std::uint16_t bits) { return bits_as<float>(std::uint32_t{bits} << 16); }

/// An element of a bf16 tensor on the host. Arithmetic is done in float.
struct Bf16 {
  std::uint16_t bits;

  Bf16() = default;
  /// Rounds, as the assignment does. Loops with assignments become vectors, those that copy a new Bf16 do not (GCC 12).
  constexpr explicit Bf16(float value) : bits(to_bf16(value)) {}
  constexpr Bf16& operator=(float value) {
    bits = to_bf16(value);
    return *this;
  }
  constexpr operator float() const { return from_bf16(bits); }
};

}  // namespace gradamp
