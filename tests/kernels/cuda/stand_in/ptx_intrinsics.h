// SPDX-License-Identifier: MIT
// The functions that ptx_to_cpp.py's C++ uses. A register is a variable of bits.
// Reference: PTX ISA, "Instruction Set".
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "gradamp/kernels/emulation/async_copy.h"
#include "gradamp/kernels/emulation/device_intrinsics.h"
#include "gradamp/kernels/emulation/memory_intrinsics.h"
#include "gradamp/kernels/emulation/multiply_add.h"
#include "gradamp/kernels/emulation/shared_intrinsics.h"
#include "gradamp/kernels/emulation/tensor_core.h"
#include "gradamp/tests/kernels/cuda/stand_in/ptx_kernels.h"

namespace gradamp::stand_in {

using emulation::SourceLocation;

template <typename T, int N>
struct Vector {
  T values[N];
};

[[gnu::always_inline]] inline char* at(std::uint64_t address) { return reinterpret_cast<char*>(address); }

template <typename T, int N>
[[gnu::always_inline]] inline Vector<T, N> load(const char* address, SourceLocation location) {
  emulation::check_aligned(address, sizeof(T) * N, location);
  Vector<T, N> vector;
  std::memcpy(&vector, address, sizeof vector);
  return vector;
}

template <typename T, int N>
[[gnu::always_inline]] inline void store(char* address, Vector<T, N> vector, SourceLocation location) {
  emulation::check_aligned(address, sizeof(T) * N, location);
  std::memcpy(address, &vector, sizeof vector);
}

template <std::floating_point T>
inline bool is_unordered(T x, T y) {
  return x != x || y != y;
}

/// shl and shr: counts beyond the width give 0 or, for a signed shr, the sign.
template <typename T>
[[gnu::always_inline]] inline T shift_left(T value, std::uint32_t count) {
  return count >= sizeof(T) * 8 ? T(0) : T(std::make_unsigned_t<T>(value) << count);
}
template <typename T>
[[gnu::always_inline]] inline T shift_right(T value, std::uint32_t count) {
  if (count >= sizeof(T) * 8) return std::is_signed_v<T> && value < 0 ? T(-1) : T(0);
  return T(value >> count);
}

/// cvt.rn.bf16.f32
inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return 0x7FFF;
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// cvt.rna.tf32.f32
inline std::uint32_t to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return 0x7FFFFFFF;
  return (std::isinf(value) ? bits : bits + 0x1000u) & 0xFFFFE000u;
}

/// cvt.sat: clamped to [0, 1]; a NaN becomes 0.
inline float saturate(float value) { return value > 0 ? std::fmin(value, 1.0f) : 0.0f; }

/// .ftz: a subnormal number becomes a zero of its sign.
inline float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

/// fma.rm.f32: the largest float that is not above a b + c.
inline float fma_down(float a, float b, float c) {
  const double product = double{a} * b;  // exact: 48 bits
  const double sum = product + c;
  // The sum's rounding error (D. E. Knuth's TwoSum), also exact.
  const double addend = sum - product;
  const double error = (product - (sum - addend)) + (double{c} - addend);
  const auto nearest = static_cast<float>(sum);
  const bool is_above = nearest > sum || (nearest == sum && error < 0);
  return is_above ? std::nextafter(nearest, -INFINITY) : nearest;
}

/// bfi.b32: the low `length` bits of `value` at `position` of `base`.
inline std::uint32_t insert_bits(std::uint32_t value, std::uint32_t base, std::uint32_t position,
                                 std::uint32_t length) {
  position = std::min(position & 255, 32u);
  length &= 255;
  const std::uint64_t mask = (length >= 32 ? 0xFFFFFFFFull : (1ull << length) - 1) << position;
  return static_cast<std::uint32_t>((base & ~mask) | ((std::uint64_t{value} << position) & mask));
}

inline std::uint32_t reverse_bits(std::uint32_t value) {
  std::uint32_t reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (value >> i & 1) << (31 - i);
  return reversed;
}

enum class ShuffleMode { up, down, bfly, idx };

/// shfl.sync by the manual's formula: `c` has the clamp value in its low bits and the segment mask from bit 8 on.
inline std::uint32_t shuffle(ShuffleMode mode, std::uint32_t mask, std::uint32_t value, std::uint32_t b,
                             std::uint32_t c, bool& in_range, SourceLocation location) {
  const int lane = static_cast<int>(emulation::lane()), by = static_cast<int>(b & 31);
  const int segment_mask = static_cast<int>(c >> 8 & 31);
  const int last = (lane & segment_mask) | (static_cast<int>(c & 31) & ~segment_mask);
  int source = lane;
  switch (mode) {
    case ShuffleMode::up:
      source = lane - by;
      in_range = source >= last;
      break;
    case ShuffleMode::down:
      source = lane + by;
      in_range = source <= last;
      break;
    case ShuffleMode::bfly:
      source = lane ^ by;
      in_range = source <= last;
      break;
    case ShuffleMode::idx:
      source = (lane & segment_mask) | (by & ~segment_mask);
      in_range = source <= last;
      break;
  }
  if (!in_range) source = lane;
  return emulation::shuffle<emulation::ShuffleKind::kIndex>(mask, value, static_cast<unsigned>(source), location);
}

/// cp.async of `bytes`, of which `present` are read and the others are zeros; the engine uses only all or none.
inline void copy_async(char* target, const char* source, unsigned bytes, unsigned present, SourceLocation location) {
  if (present != 0 && present != bytes)
    emulation::fail_thread([] { return "cp.async of a part of its bytes is not translated"; });
  emulation::begin_async_copy(target, source, bytes, present != 0, location);
}

}  // namespace gradamp::stand_in
