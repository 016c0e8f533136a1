// SPDX-License-Identifier: MIT
// The library that our convolutions are held against.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "bench/bench_support.h"
#include "bench/convolution_problem.h"

namespace gradamp::bench {

/// Device memory of one convolution. `x`, `weight` and `y` as in ConvolutionShape, in the images' type.
struct ConvolutionBuffers {
  void *x, *weight, *y;
};

class Yardstick {
 public:
  virtual ~Yardstick() = default;

  struct Result {
    Timing timing;
    std::string plan;  // how it was computed, in a few words
  };
  /// The fastest way that the library finds, timed like ours: recorded, over all `sets` in turn. The results are left
  /// in the sets. LeftOut where the library has no way.
  virtual Result measure(const ConvolutionShape& shape, ConvolutionPass pass, Precision precision,
                         std::span<const ConvolutionBuffers> sets, const TimingOptions& options) = 0;
};

/// The yardstick, or none, and what to say about it: "cuDNN 9.1.0", or why there is none.
struct YardstickChoice {
  std::unique_ptr<Yardstick> yardstick;
  std::string description;
};
YardstickChoice make_yardstick(const Device& device);

}  // namespace gradamp::bench
