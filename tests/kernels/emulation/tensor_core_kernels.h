// SPDX-License-Identifier: MIT
// One warp runs the wrappers of kernels/cuda/ptx.h on registers that the host fills and reads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

enum class MmaOperands { kBF16, kTF32 };

/// d[lane] += a[lane] b[lane], with a[lane][row_tile][4], b[lane][column_tile][2] and
/// d[lane][row_tile][column_tile][4]. Supported numbers of tiles: 1 x 1, 2 x 4, 3 x 5 and 4 x 8.
void run_mma(MmaOperands operands, int row_tiles, int column_tiles, const std::uint32_t* a, const std::uint32_t* b,
             float* d);

/// Lane l passes the address at offsets[l] (bytes) of shared memory with `values`; registers[lane][4].
void run_ldmatrix(bool transposed, const std::uint16_t* values, int count, const int* offsets,
                  std::uint32_t* registers);

void run_to_tf32(const float* values, int count, std::uint32_t* results);

/// Copies `count` groups of 128 floats through shared memory, two groups in flight; group g is copied if valid[g].
void run_async_copies(const float* source, const bool* valid, int count, float* target);

/// Thread t starts three groups of one 16-byte copy each, waits for all but `groups` of them, and records the
/// targets.
void run_async_groups(int groups, const float* source, float* seen);

}  // namespace gradamp::GRADAMP_GPU
