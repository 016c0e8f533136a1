// SPDX-License-Identifier: MIT
// The library that our convolutions are compared with.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/convolution_problem.h"

namespace gradamp::bench {

/// Device memory of one convolution. `x`, `weight` and `y` as in ConvolutionShape, in the images' type. If `sums` is
/// given, the forward pass also sums every channel of y, and its squares, f32 (K) each; images are then fp16, not bf16.
struct ConvolutionBuffers {
  void *x = nullptr, *weight = nullptr, *y = nullptr;
  void *sums = nullptr, *square_sums = nullptr;
};

class ConvolutionReference {
 public:
  virtual ~ConvolutionReference() = default;

  struct Result {
    Timing timing;
    std::string plan;  // how it was computed, in a few words
  };
  /// The fastest plan that the library finds, timed like ours: recorded, over all `sets` in turn. The results are left
  /// in the sets. LeftOut if the library has no plan.
  virtual Result measure(const ConvolutionShape& shape, ConvolutionPass pass, Precision precision,
                         std::span<const ConvolutionBuffers> sets, const TimingOptions& options) = 0;
};

/// The reference, or none, and what to say about it: "cuDNN 9.1.0", or "left out: cuDNN ..." with the reason.
struct ConvolutionReferenceChoice {
  std::unique_ptr<ConvolutionReference> reference;
  std::string description;
};
/// Never an Error: a library that is missing or cannot start is left out.
ConvolutionReferenceChoice make_convolution_reference(const Device& device);

}  // namespace gradamp::bench
