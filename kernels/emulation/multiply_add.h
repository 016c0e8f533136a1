// SPDX-License-Identifier: MIT
// Fused multiply-add. Builds for any x86-64 processor may not contain its instruction, and the C library's function,
// which finds out whether the processor has it, makes the emulator four times as slow. So the instruction is written
// here and used where the processor has it.
#pragma once

#include <cmath>

namespace gradamp::emulation {

#if defined(__x86_64__) && !defined(__FMA__)

inline const bool has_fma_instruction = __builtin_cpu_supports("fma");

/// a b + c with one rounding.
inline float multiply_add(float a, float b, float c) {
  if (!has_fma_instruction) [[unlikely]]
    return std::fma(a, b, c);
  asm("vfmadd231ss %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  return c;
}
inline double multiply_add(double a, double b, double c) {
  if (!has_fma_instruction) [[unlikely]]
    return std::fma(a, b, c);
  asm("vfmadd231sd %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  return c;
}

#else

/// a b + c with one rounding.
inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }

#endif

}  // namespace gradamp::emulation
