// SPDX-License-Identifier: MIT
// The tensor core instructions as collectives of a warp: the emulated implementation of the wrappers in
// kernels/cuda/ptx.h, which documents the layouts of the fragments.
#pragma once

#include <cstdint>

#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

enum class MmaType { kBF16, kTF32 };

/// A lane's part of d += a * b over `row_tiles` x `column_tiles` tiles of 16 x 8.
struct MmaFragments {
  float* d;                // [row_tiles][column_tiles][4]
  const std::uint32_t* a;  // [row_tiles][4]
  const std::uint32_t* b;  // [column_tiles][2]
  int row_tiles, column_tiles;
};

void mma(MmaType type, const MmaFragments& fragments, const SourceLocation& location);

/// `matrices` is 1, 2 or 4; lane 8 m + r passes the address of row r of matrix m.
void ldmatrix(std::uint32_t* registers, const void* row, int matrices, bool transposed, const SourceLocation& location);

}  // namespace gradamp::emulation
