// SPDX-License-Identifier: MIT
// Batches of images, and grids of places in them.
#pragma once

#include "gradamp/kernels/cpu/simd/simd.h"

namespace gradamp::GRADAMP_SIMD {

/// A batch of images (N, H, W, C). In memory a pixel can have further channels, which belong to other images.
template <typename Element>
struct Images {
  Element* data;
  std::int64_t height, width, channels;
  std::int64_t pixel_stride = channels;  // elements from one pixel to the next

  bool contains(std::int64_t h, std::int64_t w) const { return h >= 0 && h < height && w >= 0 && w < width; }
  Element* pixel(std::int64_t image, std::int64_t h, std::int64_t w) const {
    return data + ((image * height + h) * width + w) * pixel_stride;
  }
  /// The end of the last pixel of `batch` images.
  Element* end(std::int64_t batch) const {
    return data + batch * height * width * pixel_stride - (pixel_stride - channels);
  }
};

/// A grid of places, of equal size in every image. Places are numbered image by image and row by row.
struct Grid {
  std::int64_t batch, rows, columns;

  std::int64_t count() const { return batch * rows * columns; }
};

/// The indices of a place: its image, and its row and column in the grid.
struct Place {
  std::int64_t image, row, column;

  Place(const Grid& grid, std::int64_t number)
      : image(number / (grid.rows * grid.columns)),
        row(number / grid.columns % grid.rows),
        column(number % grid.columns) {}
  void advance(const Grid& grid) {
    if (++column < grid.columns) return;
    column = 0;
    if (++row < grid.rows) return;
    row = 0;
    ++image;
  }
};

/// The places [first, first + count).
struct PlaceRange {
  std::int64_t first, count;
};

}  // namespace gradamp::GRADAMP_SIMD
