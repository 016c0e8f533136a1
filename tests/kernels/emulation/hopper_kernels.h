// SPDX-License-Identifier: MIT
// Each kernel uses one of Hopper's instructions, by the wrappers of kernels/cuda/ptx_hopper.h. They are empty on a GPU
// of another compute capability than 9.0.
#pragma once

#include "gradamp/kernels/cuda/ptx_hopper.h"

namespace gradamp::GRADAMP_GPU {

/// d (64 x n) = a (64 x 64) b (64 x n), where n is 64, 128 or 256. Ordinary stores put each element of a and b at its
/// place.
void launch_product(bool a_mn_major, bool b_mn_major, int n, const bf16* a, const bf16* b, float* d);

/// out (rounds x 64 x 64) = the boxes at (0, 64 i, ...) of a map with 2, 3 or 4 dimensions, one after another through
/// two slots of shared memory. A box has 64 x 64 elements.
void launch_boxes(const TensorMap& map, int rank, int rounds, bf16* out);

/// out (pixels x 64) = one im2col load.
void launch_im2col(const TensorMap& map, int pixels, int c, int w, int h, int n, int offset_w, int offset_h, bf16* out);

/// Warps 0 and 2 exchange 32 values each, and warps 1 and 3, each pair with a named barrier of its own.
void launch_exchange(const int* in, int* out);

}  // namespace gradamp::GRADAMP_GPU
