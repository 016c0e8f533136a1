// SPDX-License-Identifier: MIT
// What the gradients of a convolution's filter by mma.sync and by wgmma share. The product runs over a hundred thousand
// pixels and its result is small. So the pixels are split among many blocks (split-K), in a way that depends on the
// shape alone, and a second kernel sums the parts in a fixed order.
#pragma once

#include <algorithm>
#include <cstddef>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

struct PixelSplit {
  int parts, pixels_of_part;
};

/// Splits the pixels, in units, so that the blocks of `tiles` tiles of the result are about `target_blocks`; a part has
/// at least `min_units`, which fill the pipeline.
inline PixelSplit split_pixels(const ConvolutionShape& shape, int unit, int min_units, int tiles, int target_blocks) {
  const int units = (shape.pixels_out() + unit - 1) / unit;
  const int target_parts = std::clamp(target_blocks / tiles, 1, std::max(1, units / min_units));
  const int units_of_part = (units + target_parts - 1) / target_parts;
  return {(units + units_of_part - 1) / units_of_part, units_of_part * unit};
}

/// Floats of the memory for the parts, if there are several.
inline std::size_t parts_workspace(const PixelSplit& split, const ConvolutionShape& shape) {
  const auto count = static_cast<std::size_t>(shape.out_channels) * static_cast<std::size_t>(shape.taps()) *
                     static_cast<std::size_t>(shape.in_channels);
  return split.parts > 1 ? static_cast<std::size_t>(split.parts) * count : 0;
}

/// out (count) = sum over the parts of partial (parts, count).
void launch_sum_parts(cudaStream_t stream, int parts, int count, const float* partial, float* out);

}  // namespace gradamp::GRADAMP_GPU
