// SPDX-License-Identifier: MIT
// One convolution of a network, for the benchmarks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gradamp/core/dtype.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/core/shape.h"

namespace gradamp::bench {

enum class ConvolutionPass { kForward, kBackwardInput, kBackwardFilter };

/// "forward", "backward_input", "backward_filter".
const char* name_of(ConvolutionPass pass);

/// Extents of a convolution of square images; x (N, H, H, C), weight (K, R, R, C), y (N, P, P, K).
struct ConvolutionShape {
  std::int64_t batch = 0, size = 0, in_channels = 0, out_channels = 0;
  int kernel = 1;
  Conv2dParams params;

  std::int64_t out_size() const { return (size + 2 * params.padding - kernel) / params.stride + 1; }
  Shape x() const { return {batch, size, size, in_channels}; }
  Shape weight() const { return {out_channels, kernel, kernel, in_channels}; }
  Shape y() const { return {batch, out_size(), out_size(), out_channels}; }
  /// Operations per pass, equal for all three: one product and one sum for every pixel of y and element of the filters.
  double flops() const {
    return 2.0 * static_cast<double>(y().count()) * kernel * kernel * static_cast<double>(in_channels);
  }
  /// "3x3_64x128_32_s2": kernel, input x output channels, image size, stride.
  std::string name() const;

  friend auto operator<=>(const ConvolutionShape& a, const ConvolutionShape& b) { return a.key() <=> b.key(); }
  friend bool operator==(const ConvolutionShape& a, const ConvolutionShape& b) { return a.key() == b.key(); }

 private:
  std::vector<std::int64_t> key() const {
    return {-size, in_channels, out_channels, kernel, params.stride, params.padding, batch};
  }
};

/// A shape, and its number of occurrences in each network.
using ShapeCounts = std::map<ConvolutionShape, std::map<std::string, int>>;

/// The networks that are measured if the command line names none.
std::vector<std::string> default_networks(bool quick);

/// The convolutions of `networks` (nets/networks.h) on 32x32 images, each distinct shape once. Error for an unknown
/// network, and if the layers listed here differ from those that nets/ builds.
ShapeCounts convolutions_of(const std::vector<std::string>& networks, std::int64_t batch);

}  // namespace gradamp::bench
