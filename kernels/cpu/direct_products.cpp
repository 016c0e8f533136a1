// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/direct_products.h"

#include <algorithm>

namespace gradamp {
namespace {

/// Sets the runs of taps that are in order.
void find_runs(std::vector<Tap>& taps) {
  for (std::size_t i = taps.size(); i-- > 1;)
    if (taps[i].row == taps[i - 1].row && taps[i].column == taps[i - 1].column + 1) taps[i - 1].run = taps[i].run + 1;
}

/// The taps by which the input's pixels with this remainder of row and column modulo the stride get their gradients.
/// In the order of the pixels of grad_y that they read.
std::vector<Tap> taps_to_input(const ConvolutionShape& s, std::int64_t row, std::int64_t column) {
  std::vector<Tap> taps;
  for (std::int64_t r = s.kernel_h - 1; r >= 0; --r) {
    const std::int64_t down = row + s.padding - r * s.dilation;
    if (down % s.stride != 0) continue;
    for (std::int64_t t = s.kernel_w - 1; t >= 0; --t) {
      const std::int64_t right = column + s.padding - t * s.dilation;
      if (right % s.stride != 0) continue;
      taps.push_back({.row = down / s.stride, .column = right / s.stride, .index = r * s.kernel_w + t});
    }
  }
  find_runs(taps);
  return taps;
}

/// How many of `count` pixels have this remainder modulo `step`.
std::int64_t with_remainder(std::int64_t count, std::int64_t remainder, std::int64_t step) {
  return (count - remainder + step - 1) / step;
}

}  // namespace

DirectProduct forward_product(const ConvolutionShape& s) {
  DirectProduct product{.rows = s.out_height,
                        .columns = s.out_width,
                        .in_step = s.stride,
                        .out_step = 1,
                        .out_row = 0,
                        .out_column = 0,
                        .taps = {}};
  for (std::int64_t r = 0; r < s.kernel_h; ++r)
    for (std::int64_t t = 0; t < s.kernel_w; ++t)
      product.taps.push_back(
          {.row = r * s.dilation - s.padding, .column = t * s.dilation - s.padding, .index = r * s.kernel_w + t});
  find_runs(product.taps);
  return product;
}

DirectProducts::DirectProducts() = default;
DirectProducts::~DirectProducts() = default;
DirectProducts::DirectProducts(DirectProducts&&) = default;

DirectProducts backward_input_products(const ConvolutionShape& s) {
  DirectProducts products;
  for (std::int64_t row = 0; row < std::min(s.stride, s.height); ++row)
    for (std::int64_t column = 0; column < std::min(s.stride, s.width); ++column)
      products.list.push_back({.rows = with_remainder(s.height, row, s.stride),
                               .columns = with_remainder(s.width, column, s.stride),
                               .in_step = 1,
                               .out_step = s.stride,
                               .out_row = row,
                               .out_column = column,
                               .taps = taps_to_input(s, row, column)});
  return products;
}

}  // namespace gradamp
