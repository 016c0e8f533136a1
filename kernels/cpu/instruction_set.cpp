// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "gradamp/core/error.h"

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

InstructionSet choose_instruction_set(std::string_view wanted) {
  const std::vector<InstructionSet> usable = usable_instruction_sets();
  check(
      !usable.empty(),
      "this processor is too old: gradamp needs the instructions of x86-64-v2 (SSE4.2, POPCNT), which processors have "
      "since about 2009");
  if (wanted.empty()) return usable.back();
  const auto found =
      std::find_if(usable.begin(), usable.end(), [&](InstructionSet set) { return wanted == name_of(set); });
  if (found != usable.end()) return *found;
  std::string names;
  for (const InstructionSet set : usable) names += (names.empty() ? "" : ", ") + std::string(name_of(set));
  fail("GRADAMP_ISA: expected an instruction set of this processor and this build ({}), got '{}'", names, wanted);
}

InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
    const char* const wanted = std::getenv("GRADAMP_ISA");
    return choose_instruction_set(wanted != nullptr ? wanted : "");
  }();
  return chosen;
}

}  // namespace gradamp
