// SPDX-License-Identifier: MIT
// The layout of operands in shared memory, written independently of the emulator: from CUTLASS's Layout_K_SW128_Atom
// and Layout_MN_SW128_Atom.
#pragma once

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// The index of the element (mn, k), k < 64, of an operand whose 64-element rows are swizzled.
__device__ inline int index_of_operand(bool mn_major, int mn, int k) {
  const int row = mn_major ? mn / 64 * 64 + k : mn, column = mn_major ? mn % 64 : k;
  return row * 64 + ((column / 8) ^ (row % 8)) * 8 + column % 8;
}

}  // namespace gradamp::GRADAMP_GPU
