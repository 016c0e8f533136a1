// SPDX-License-Identifier: MIT
// One pass of one convolution on the device, verified against float64 sums at randomly drawn elements.
#pragma once

#include <functional>
#include <vector>

#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/convolution_problem.h"
#include "gradamp/bench/convolution_reference.h"

namespace gradamp::bench {

/// What is computed in addition to the convolution.
enum class ConvolutionExtra {
  kNone,
  kMoments,     // ours: ChannelMoments of y, for the batch norm that follows
  kStatistics,  // a library's: sums of y and of its squares per channel
};

/// The tensors of one call; the pass determines which of them is the result.
struct ConvolutionSet {
  Tensor x, weight, y;
  ChannelMoments moments;    // kMoments
  Tensor sums, square_sums;  // kStatistics
};

class ConvolutionCase {
 public:
  /// `filter_gradient` is the type of that result: ours is f32, a library's can be the images' type. With kStatistics,
  /// fp16 replaces bf16, because cuDNN has such plans only in fp16; the values are stored in bf16 tensors, which have
  /// the same size. LeftOut if the device computes no moments.
  ConvolutionCase(Backend& backend, const ConvolutionShape& shape, ConvolutionPass pass, DType filter_gradient,
                  ConvolutionExtra extra, const TimingOptions& timing);

  int sets() const { return static_cast<int>(sets_.size()); }
  /// The sets, for a library.
  std::vector<ConvolutionBuffers> buffers() const;
  /// Our convolution, on one of the sets.
  void call(int set) const;
  Work work() const { return {bytes_, shape_.flops()}; }

  /// Runs `compute`, which must fill the first set's results, and compares them with float64. Error if they differ by
  /// more than `tolerance` in norm.
  void verify(const std::function<void()>& compute, double tolerance) const;

 private:
  ConvolutionSet make_set(std::uint32_t substream, DType weight_type) const;
  Tensor make_input(const Shape& shape, DType type, std::uint32_t substream) const;
  std::vector<float> values_of(const Tensor& tensor) const;
  const Tensor& result_of(const ConvolutionSet& set) const;
  void verify_moments(const std::vector<float>& y, double tolerance) const;
  void verify_statistics(const std::vector<float>& y, double tolerance) const;

  Backend& backend_;
  ConvolutionShape shape_;
  ConvolutionPass pass_;
  ConvolutionExtra extra_;
  bool f16_;
  double bytes_ = 0;
  std::vector<ConvolutionSet> sets_;
};

}  // namespace gradamp::bench
