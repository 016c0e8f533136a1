// SPDX-License-Identifier: MIT
// The parts of oneDNN that kernels/cpu uses: an engine, a cache of primitives and one function to run them.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include <oneapi/dnnl/dnnl.hpp>

#include "gradamp/core/error.h"
#include "gradamp/kernels/cpu/convolution_shape.h"
#include "gradamp/kernels/cpu/openmp.h"

namespace gradamp {

/// A convolution. oneDNN chooses the filter's memory layout; images are plain NHWC.
struct ConvolutionPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc filter;      // in the primitive's layout
  dnnl::memory::desc scratchpad;  // working memory
  bool has_reorder = false;       // between (K, R, S, C) and `filter`
  dnnl::primitive reorder;
};

enum class ConvolutionKind : std::int64_t { kForward, kForwardBias, kBackwardInput, kBackwardFilter };

class OneDnn {
 public:
  OneDnn() : engine(dnnl::engine::kind::cpu, 0), stream(engine) {}

  /// The primitive for this shape and number of threads, made at its first use. Call it within with_onednn.
  const ConvolutionPrimitive& convolution(ConvolutionKind kind, const ConvolutionShape& shape);

  dnnl::engine engine;
  dnnl::stream stream;

 private:
  ConvolutionPrimitive make_convolution(ConvolutionKind kind, const ConvolutionShape& shape) const;

  std::map<std::tuple<ConvolutionKind, ConvolutionShape, int>, ConvolutionPrimitive> convolutions_;
};

/// Runs `body` on up to `threads` threads and turns oneDNN's exceptions into Error with the name of the operation.
template <typename Body>
auto with_onednn(const char* operation, int threads, const Body& body) {
  const OpenMpTeam team(threads);
  try {
    return body();
  } catch (const dnnl::error& error) {
    fail("{}: oneDNN reports '{}' (status {})", operation, error.what(), static_cast<int>(error.status));
  }
}

}  // namespace gradamp
