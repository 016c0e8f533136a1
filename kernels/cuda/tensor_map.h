// SPDX-License-Identifier: MIT
// Host side of TMA: tensor maps for bf16 matrices and image tensors. Boxes have 64 elements (128 bytes) along dimension
// 0, and arrive in shared memory with a swizzle of 128 bytes. Elements outside the tensor are zeros.
#pragma once

#include "gradamp/kernels/cuda/ptx_hopper.h"

namespace gradamp::GRADAMP_GPU {

inline constexpr int kMapColumns = 64;  // elements of a box along dimension 0

/// A contiguous tensor of up to four dimensions, the innermost first. Its address and the bytes of dimension 0 must be
/// multiples of 16. Error if the driver refuses it, or has no tensor maps.
TensorMap tiled_map(const void* base, int rank, const int* dims, const int* box);

/// A contiguous image tensor (N, height, width, channels), as im2col reads it. The bounding box is w from lower_w to
/// width - 1 + upper_w, both inclusive, likewise h. The walk starts at a given pixel, adds `stride` to w up to the end
/// of the box, returns to lower_w and adds `stride` to h, and so on to the next image.
struct Im2colBox {
  int batch, height, width, channels;
  int stride;
  int lower_h, lower_w, upper_h, upper_w;
  int pixels;  // per load
};
TensorMap im2col_map(const void* base, const Im2colBox& box);

}  // namespace gradamp::GRADAMP_GPU
