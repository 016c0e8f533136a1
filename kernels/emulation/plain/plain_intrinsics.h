// SPDX-License-Identifier: MIT
// CUDA's intrinsics that plain files use and the engine's kernels do not.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <ctime>
#include <type_traits>

#include "gradamp/kernels/emulation/emulation.h"

namespace gradamp::emulation {

/// Calls function(lane) for each lane of the mask.
template <typename Function>
void for_lanes(std::uint32_t lanes, const Function& function) {
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) function(std::countr_zero(left));
}

template <typename T>
struct MatchAny {
  static constexpr const char* kName = "__match_any_sync";
  static constexpr bool kAligned = false;

  T value;
  std::uint32_t equal = 0;

  static void run(MatchAny* const* payloads, std::uint32_t lanes) {
    for_lanes(lanes, [&](int lane) {
      for_lanes(lanes, [&](int other) {
        if (payloads[lane]->value == payloads[other]->value) payloads[lane]->equal |= std::uint32_t{1} << other;
      });
    });
  }
};

/// __reduce_*_sync: all lanes get the same result.
template <typename T, typename Operation>
struct Reduce {
  static constexpr const char* kName = Operation::kName;
  static constexpr bool kAligned = false;

  T value;

  static void run(Reduce* const* payloads, std::uint32_t lanes) {
    T result = payloads[std::countr_zero(lanes)]->value;
    for_lanes(lanes & (lanes - 1),
              [&](int lane) { result = static_cast<T>(Operation::of(result, payloads[lane]->value)); });
    for_lanes(lanes, [&](int lane) { payloads[lane]->value = result; });
  }
};

struct ReduceAdd {
  static constexpr const char* kName = "__reduce_add_sync";
  static auto of(auto a, auto b) { return a + b; }
};
struct ReduceMin {
  static constexpr const char* kName = "__reduce_min_sync";
  static auto of(auto a, auto b) { return b < a ? b : a; }
};
struct ReduceMax {
  static constexpr const char* kName = "__reduce_max_sync";
  static auto of(auto a, auto b) { return a < b ? b : a; }
};
struct ReduceAnd {
  static constexpr const char* kName = "__reduce_and_sync";
  static auto of(auto a, auto b) { return a & b; }
};
struct ReduceOr {
  static constexpr const char* kName = "__reduce_or_sync";
  static auto of(auto a, auto b) { return a | b; }
};
struct ReduceXor {
  static constexpr const char* kName = "__reduce_xor_sync";
  static auto of(auto a, auto b) { return a ^ b; }
};

template <typename Operation, typename T>
T reduce(unsigned mask, T value, const SourceLocation& location) {
  Reduce<T, Operation> payload{value};
  join_warp_operation(mask, payload, location);
  return payload.value;
}

}  // namespace gradamp::emulation

namespace gradamp::emulated {

template <typename T>
unsigned __match_any_sync(unsigned mask, T value,
                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::MatchAny<T> payload{value};
  emulation::join_warp_operation(mask, payload, location);
  return payload.equal;
}
template <typename T>
unsigned __match_all_sync(unsigned mask, T value, int* all_equal,
                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  const unsigned equal = __match_any_sync(mask, value, location);
  *all_equal = equal == mask ? 1 : 0;
  return equal == mask ? mask : 0;
}

// All lanes of the mask get the result.

template <std::integral T>
T __reduce_add_sync(unsigned mask, T value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::reduce<emulation::ReduceAdd>(mask, value, location);
}
template <std::integral T>
T __reduce_min_sync(unsigned mask, T value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::reduce<emulation::ReduceMin>(mask, value, location);
}
template <std::integral T>
T __reduce_max_sync(unsigned mask, T value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::reduce<emulation::ReduceMax>(mask, value, location);
}
template <std::integral T>
T __reduce_and_sync(unsigned mask, T value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::reduce<emulation::ReduceAnd>(mask, value, location);
}
template <std::integral T>
T __reduce_or_sync(unsigned mask, T value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::reduce<emulation::ReduceOr>(mask, value, location);
}
template <std::integral T>
T __reduce_xor_sync(unsigned mask, T value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::reduce<emulation::ReduceXor>(mask, value, location);
}

/// The lanes of the warp that wait at this line when none of its other lanes can run.
inline unsigned __activemask(emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::join_active_mask(location);
}

template <typename T>
[[gnu::always_inline]] inline T atomicDec(T* address, std::type_identity_t<T> limit,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::update_atomically(
      address, [=](T old) { return old == 0 || old > limit ? limit : old - 1; }, location);
}

inline int __ffsll(long long value) { return __builtin_ffsll(value); }
inline int __mul24(int a, int b) { return a * b; }
inline float __sinf(float value) { return std::sin(value); }
inline float __cosf(float value) { return std::cos(value); }
inline float __tanf(float value) { return std::tan(value); }
inline float __powf(float base, float exponent) { return std::pow(base, exponent); }
inline float __log2f(float value) { return std::log2(value); }
inline float __log10f(float value) { return std::log10(value); }
inline float __exp10f(float value) { return std::pow(10.0f, value); }
inline float sinpif(float value) { return static_cast<float>(std::sin(M_PI * std::fmod(double{value}, 2.0))); }
inline float cospif(float value) { return static_cast<float>(std::cos(M_PI * std::fmod(double{value}, 2.0))); }
inline double sinpi(double value) { return std::sin(M_PI * std::fmod(value, 2.0)); }
inline double cospi(double value) { return std::cos(M_PI * std::fmod(value, 2.0)); }
inline float rhypotf(float a, float b) { return 1.0f / std::hypot(a, b); }
inline float norm3df(float a, float b, float c) { return std::sqrt(a * a + b * b + c * c); }
inline float norm4df(float a, float b, float c, float d) { return std::sqrt(a * a + b * b + c * c + d * d); }
inline float rcbrtf(float value) { return 1.0f / std::cbrt(value); }
inline float normcdff(float value) { return 0.5f * std::erfc(-value * static_cast<float>(M_SQRT1_2)); }
inline float fdividef(float a, float b) { return a / b; }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((std::uint64_t{high} << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (shift & 31));
}
/// Each digit of `selector` (4 bits) selects a byte of a (0 to 3) or b (4 to 7).
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const std::uint64_t bytes = std::uint64_t{b} << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
  return result;
}
/// The sum of the products of four signed bytes, and c.
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += static_cast<std::int8_t>(a >> 8 * i) * static_cast<std::int8_t>(b >> 8 * i);
  return c;
}

inline int __float2int_rd(float value) { return static_cast<int>(std::floor(value)); }
inline int __float2int_ru(float value) { return static_cast<int>(std::ceil(value)); }
inline unsigned __float2uint_rn(float value) { return static_cast<unsigned>(std::nearbyint(value)); }

inline unsigned __brev(unsigned value) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (value >> bit & 1u) << (31 - bit);
  return reversed;
}

/// Nanoseconds, and no clock cycles: the emulator has no timing.
inline long long clock64() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

[[noreturn]] inline void __trap(emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::fail_thread([&] { return "__trap at " + emulation::to_string(location); });
}

inline void __threadfence_block() { __threadfence(); }
inline void __threadfence_system() { __threadfence(); }
inline void __nanosleep(unsigned) {}

}  // namespace gradamp::emulated
