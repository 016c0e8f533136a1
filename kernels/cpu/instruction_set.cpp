// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "gradamp/core/error.h"

namespace gradamp {

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
