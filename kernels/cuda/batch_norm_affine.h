// SPDX-License-Identifier: MIT
// What batch norm's own kernels and the convolution in front of its backward share.
#pragma once

#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {

/// Batch norm's normalized, scaled and shifted value, before the residual. Forward and backward share this expression,
/// so that the ReLU's mask is bitwise identical in both.
__device__ __forceinline__ float batch_norm_affine(float x, float mean, float scale, float beta) {
  return __fmaf_rn(x - mean, scale, beta);
}

/// The parameters of N adjacent channels.
template <int N>
struct ChannelValues {
  float mean[N] = {}, scale[N] = {}, beta[N] = {};

  ChannelValues() = default;
  /// `norm` has mean, inverse_std, gamma and beta, f32 (C).
  template <typename Norm>
  __device__ ChannelValues(const Norm& norm, int channel) {
    float gamma[N];
    load_floats(norm.mean + channel, mean);
    load_floats(norm.inverse_std + channel, scale);
    load_floats(norm.beta + channel, beta);
    load_floats(norm.gamma + channel, gamma);
#pragma unroll
    for (int i = 0; i < N; ++i) scale[i] *= gamma[i];
  }
};

}  // namespace gradamp::GRADAMP_GPU
