// SPDX-License-Identifier: MIT
#pragma once

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// The source or the destination of a copy: rows of `stride` channels. The copied channels begin at channel `first`.
struct ChannelRange {
  int stride, first;
};

/// Copies `channels` channels of each of `rows` rows from one tensor to another of the same type, f32 or bf16. The
/// tensors have fewer than 2^31 elements.
void launch_channel_copy(cudaStream_t stream, DType type, int rows, int channels, const void* from,
                         const ChannelRange& from_range, void* to, const ChannelRange& to_range);

}  // namespace gradamp::GRADAMP_GPU
