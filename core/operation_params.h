// SPDX-License-Identifier: MIT
// The parameters of the operations: plain numbers, for host and device code alike.
#pragma once

#include <array>
#include <cstdint>

namespace gradamp {

/// Stride and zero padding, in pixels, the same in both directions.
struct Conv2dParams {
  int stride = 1;
  int padding = 0;
};

/// A square window; `padding` counts as -infinity for the maximum and as zeros, which are counted, for the average.
struct Pool2dParams {
  int kernel = 2;
  int stride = 2;
  int padding = 0;
};

struct BatchNormParams {
  float epsilon = 1e-5f;
  /// Weight of the new batch in the running statistics.
  float momentum = 0.1f;
  /// Ends with max(0, ·).
  bool relu = false;
};

struct GatherParams {
  bool augment = false;
  int padding = 4;                     // of the random crop: zeros around the image, in pixels
  bool flip = true;                    // horizontally, every other image on average
  std::array<float, 3> mean{};         // in [0, 1], as a pixel / 255
  std::array<float, 3> inverse_std{};  // 1 / deviation of the same
};

struct DropoutParams {
  float probability = 0.5f;     // of a zero
  std::uint32_t substream = 0;  // another one for each dropout of a network
};

}  // namespace gradamp
