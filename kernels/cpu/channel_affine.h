// SPDX-License-Identifier: MIT
// A batch norm that a convolution applies to its input as it reads it.
#pragma once

namespace gradamp {

/// [relu]((x - mean) * scale + beta), with one element per channel; x itself if `mean` is null.
struct ChannelAffine {
  const float* mean = nullptr;
  const float* scale = nullptr;
  const float* beta = nullptr;
  bool relu = false;
};

/// A convolution's input: images, and what is applied to their pixels (not to the padding) and then rounded to T.
template <typename T>
struct ConvolutionInput {
  const T* data;
  ChannelAffine affine;

  ConvolutionInput(const T* images, const ChannelAffine& applied = {}) : data(images), affine(applied) {}
};

}  // namespace gradamp
