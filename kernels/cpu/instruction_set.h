// SPDX-License-Identifier: MIT
// The instruction sets for which the kernels of kernels/cpu/simd/ are compiled.
#pragma once

#include <string_view>
#include <vector>

namespace gradamp {

enum class InstructionSet {
  kSse4,        // x86-64-v2: vectors of 4 floats, without fused multiply-add
  kAvx2,        // x86-64-v3: vectors of 8 floats
  kAvx512,      // x86-64-v4: vectors of 16 floats
  kAvx512Bf16,  // and AVX512-BF16: products of pairs of bf16
  kNeon,        // aarch64: vectors of 4 floats
};

/// "sse4", "avx2", "avx512", "avx512bf16" or "neon".
const char* name_of(InstructionSet set);

/// Those that this build has and this processor can execute, the best last. Empty for an x86-64 processor that is older
/// than x86-64-v2.
std::vector<InstructionSet> usable_instruction_sets();

/// The best one, or the one that `wanted` names. Error if it is not usable here or there is none. With fused
/// multiply-add or without it, results differ in rounding; otherwise all sets give the same convolutions to the bit.
InstructionSet choose_instruction_set(std::string_view wanted = "");

/// The choice of this process, made once: what the environment variable GRADAMP_ISA names, or the best.
InstructionSet instruction_set();

}  // namespace gradamp
