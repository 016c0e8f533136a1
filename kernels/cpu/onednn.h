// SPDX-License-Identifier: MIT
// What kernels/cpu needs of oneDNN: an engine, a cache of primitives and one way to run them.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include <oneapi/dnnl/dnnl.hpp>

#include "gradamp/core/error.h"

namespace gradamp {

/// A convolution with memory layouts of oneDNN's choosing for the filter, plain NHWC for the images.
struct ConvolutionPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc filter;      // as the primitive wants it
  dnnl::memory::desc scratchpad;  // working memory
  bool has_reorder = false;       // between (K, R, S, C) and `filter`
  dnnl::primitive reorder;
};

enum class ConvolutionKind : std::int64_t { kForward, kForwardBias, kBackwardInput, kBackwardFilter };

/// Extents of a convolution: the key of its primitives.
struct ConvolutionShape {
  std::int64_t batch, height, width, in_channels, out_height, out_width, out_channels, kernel_h, kernel_w, stride,
      padding;
  auto operator<=>(const ConvolutionShape&) const = default;
};

class OneDnn {
 public:
  OneDnn() : engine(dnnl::engine::kind::cpu, 0), stream(engine) {}

  /// The primitive for this shape, made at its first use.
  const ConvolutionPrimitive& convolution(ConvolutionKind kind, const ConvolutionShape& shape);

  dnnl::engine engine;
  dnnl::stream stream;

 private:
  ConvolutionPrimitive make_convolution(ConvolutionKind kind, const ConvolutionShape& shape) const;

  std::map<std::pair<ConvolutionKind, ConvolutionShape>, ConvolutionPrimitive> convolutions_;
};

/// Runs `body` and turns oneDNN's exceptions into Error with the name of the operation.
template <typename Body>
auto with_onednn(const char* operation, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    fail("{}: oneDNN reports '{}' (status {})", operation, error.what(), static_cast<int>(error.status));
  }
}

}  // namespace gradamp
