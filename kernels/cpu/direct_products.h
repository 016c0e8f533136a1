// SPDX-License-Identifier: MIT
// The matrix products that a direct convolution consists of (kernels/cpu/simd/direct.h).
//
// The forward is one product. The backward of the input with stride t is t * t products, each for the input's pixels
// with the same remainder of their row and column modulo t. Example with a 3x3 filter, stride 2 and padding 1, in one
// dimension. Output j reads the inputs 2 j - 1, 2 j and 2 j + 1 with the taps 0, 1 and 2. So
//
//     grad_x[2 i]     = grad_y[i] w[1]                          pixels with remainder 0: one tap
//     grad_x[2 i + 1] = grad_y[i] w[2] + grad_y[i + 1] w[0]     pixels with remainder 1: two taps
//
// In two dimensions these are products with 1, 2, 2 and 4 taps: all taps, each once, and no product with zeros. A 1x1
// filter of stride 2 has one product with one tap and three without taps, which are zeros.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/kernels/cpu/convolution_shape.h"

namespace gradamp {

/// A tap of the filter, as seen from the pixel that is computed.
struct Tap {
  std::int64_t row, column;  // of the pixel that it reads, relative to the place of the window
  std::int64_t index;        // in the filter: row * kernel_w + column
  /// Taps from this one on that read adjacent pixels of one row, at least 1.
  std::int64_t run = 1;
};

/// The pixels (out_step * i + out_row, out_step * j + out_column) of each output image, for i < rows and j < columns.
/// Each is the sum over the taps of the pixel (in_step * i + tap.row, in_step * j + tap.column) of the input image,
/// which is zero outside the image, times the tap.
struct DirectProduct {
  std::int64_t rows, columns, in_step;
  std::int64_t out_step, out_row, out_column;
  std::vector<Tap> taps;
};

/// Its functions are not inline: they would be compiled once for each instruction set (kernels/cpu/simd/simd.h).
struct DirectProducts {
  std::vector<DirectProduct> list;

  DirectProducts();
  ~DirectProducts();
  DirectProducts(DirectProducts&&);
  DirectProducts& operator=(DirectProducts&&) = delete;
};

/// Computes y from x.
DirectProduct forward_product(const ConvolutionShape& shape);
/// Compute every pixel of grad_x from grad_y.
DirectProducts backward_input_products(const ConvolutionShape& shape);

}  // namespace gradamp
