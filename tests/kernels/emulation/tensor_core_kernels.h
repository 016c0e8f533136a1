// SPDX-License-Identifier: MIT
// One warp that runs the wrappers of kernels/cuda/ptx.h on registers that the host has filled and reads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

enum class MmaOperands { kBF16, kTF32 };

/// d[lane] += a[lane] b[lane], with a[lane][row_tile][4], b[lane][column_tile][2] and
/// d[lane][row_tile][column_tile][4]. The tiles are one of 1 x 1, 2 x 4, 3 x 5 and 4 x 8.
void run_mma(MmaOperands operands, int row_tiles, int column_tiles, const std::uint32_t* a, const std::uint32_t* b,
             float* d);

/// Lane l points to offsets[l] (bytes) of the shared memory that holds `values`; registers[lane][4].
void run_ldmatrix(bool transposed, const std::uint16_t* values, int count, const int* offsets,
                  std::uint32_t* registers);

void run_to_tf32(const float* values, int count, std::uint32_t* results);

/// Copies through shared memory in `count` groups of 128 floats, two groups in flight; group g arrives where valid[g].
void run_async_copies(const float* source, const bool* valid, int count, float* target);

/// Thread t begins three groups, of one copy each of its 16 bytes, and looks at them when all but `groups` have
/// arrived.
void run_async_groups(int groups, const float* source, float* seen);

}  // namespace gradamp::GRADAMP_GPU
