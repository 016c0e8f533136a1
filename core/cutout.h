// SPDX-License-Identifier: MIT
// Cutout: a square of each training image becomes the mean. Its center is uniform over the image, and the part of the
// square outside of the image is lost. T. DeVries, G. W. Taylor, "Improved regularization of convolutional neural
// networks with cutout", 2017.
#pragma once

#include <cstdint>

#include "gradamp/core/host_device.h"
#include "gradamp/core/philox.h"

namespace gradamp {

/// Rows top to top + side - 1 and columns left to left + side - 1 of an image; a part may be outside of the image.
struct CutoutSquare {
  int top, left, side;

  GRADAMP_HOST_DEVICE bool contains(int row, int column) const {
    return row >= top && row < top + side && column >= left && column < left + side;
  }
};

/// The square of the image at `position` of the epoch. It has draws of its own, so that the draws of crop and flip are
/// the same with and without cutout. The center is row top + side / 2, rounded down, and column left + side / 2.
GRADAMP_HOST_DEVICE inline CutoutSquare draw_cutout(std::uint64_t seed, std::uint32_t epoch, std::uint64_t position,
                                                    int side, int height, int width) {
  const PhiloxBlock random = philox(seed, RandomStream::kCutout, epoch, position);
  return {static_cast<int>(uniform_below(random.word[0], static_cast<std::uint32_t>(height))) - side / 2,
          static_cast<int>(uniform_below(random.word[1], static_cast<std::uint32_t>(width))) - side / 2, side};
}

}  // namespace gradamp
