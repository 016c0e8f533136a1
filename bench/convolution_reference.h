// SPDX-License-Identifier: MIT
// The library with which our convolutions are compared.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/convolution_problem.h"

namespace gradamp::bench {

/// Device memory of one convolution. `x`, `weight` and `y` as in ConvolutionShape, in the images' type. If `sums` is
/// given, the forward pass also sums y and its squares per channel, f32 (K) each; images are then fp16 instead of bf16.
struct ConvolutionBuffers {
  void *x = nullptr, *weight = nullptr, *y = nullptr;
  void *sums = nullptr, *square_sums = nullptr;
};

class ConvolutionReference {
 public:
  virtual ~ConvolutionReference() = default;

  struct Result {
    Timing timing;
    std::string plan;  // a short description of the algorithm
  };
  /// Measures the fastest plan that the library finds. It is timed like ours: recorded, and rotating over all `sets`.
  /// The results are in the sets afterwards. LeftOut if the library has no plan.
  virtual Result measure(const ConvolutionShape& shape, ConvolutionPass pass, Precision precision,
                         std::span<const ConvolutionBuffers> sets, const TimingOptions& options) = 0;
};

/// The reference or null, and its description: "cuDNN 9.1.0", or "left out: cuDNN ..." with the reason.
struct ConvolutionReferenceChoice {
  std::unique_ptr<ConvolutionReference> reference;
  std::string description;
};
/// cuDNN on the device cuda, oneDNN on the CPU, none on the emulated device. Never throws Error: a library that is
/// missing or cannot start is left out.
ConvolutionReferenceChoice make_convolution_reference(const Device& device);
ConvolutionReferenceChoice make_cudnn_reference();
ConvolutionReferenceChoice make_onednn_reference();

}  // namespace gradamp::bench
