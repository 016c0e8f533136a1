// SPDX-License-Identifier: MIT
// Apart from instruction_set.cpp, because gradamp::statistics needs this without fmt.
#include "gradamp/kernels/cpu/instruction_set.h"

namespace gradamp {

const char* name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::kSse4: return "sse4";
    case InstructionSet::kAvx2: return "avx2";
    case InstructionSet::kAvx512: return "avx512";
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
#else
  sets.push_back(InstructionSet::kNeon);
#endif
  return sets;
}

}  // namespace gradamp
