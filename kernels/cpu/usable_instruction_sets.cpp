// SPDX-License-Identifier: MIT
// Apart from instruction_set.cpp, because gradamp::statistics needs this without fmt.
#include "gradamp/kernels/cpu/instruction_set.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gradamp {

#if defined(__x86_64__)
namespace {

/// Whether VDPBF16PS adds the product of the upper halves first, with a rounding of its own, as
/// kernels/cpu/simd/bf16_pairs.h needs it: (1 + 2^24) - 2^24 is 0 then, and in any other order 1.
[[gnu::target("avx512f,avx512bf16")]] bool adds_upper_halves_first() {
  constexpr int kPowerAndMinusPower = 0x4b80cb80, kOneAndOne = 0x3f803f80;  // bf16: 2^24 and -2^24; 1 and 1
  const __m512i a = _mm512_set1_epi32(kPowerAndMinusPower), b = _mm512_set1_epi32(kOneAndOne);
  float sums[16];
  _mm512_storeu_ps(sums, _mm512_dpbf16_ps(_mm512_set1_ps(1.0f), (__m512bh)a, (__m512bh)b));
  return sums[0] == 0.0f;
}

}  // namespace
#endif

const char* name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::kSse4: return "sse4";
    case InstructionSet::kAvx2: return "avx2";
    case InstructionSet::kAvx512: return "avx512";
    case InstructionSet::kAvx512Bf16: return "avx512bf16";
    case InstructionSet::kNeon: return "neon";
  }
  return "";
}

std::vector<InstructionSet> usable_instruction_sets() {
  std::vector<InstructionSet> sets;
#if defined(__x86_64__)
  // These features stand for their whole level. The operating system must save the registers too, which the function
  // considers.
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) return sets;
  sets.push_back(InstructionSet::kSse4);
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return sets;
  sets.push_back(InstructionSet::kAvx2);
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return sets;
  sets.push_back(InstructionSet::kAvx512);
  if (__builtin_cpu_supports("avx512bf16") && adds_upper_halves_first()) sets.push_back(InstructionSet::kAvx512Bf16);
#else
  sets.push_back(InstructionSet::kNeon);
#endif
  return sets;
}

}  // namespace gradamp
