// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/core/operation_params.h"
#include "gradamp/core/step_counters.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// The arguments of a gather. It crops, flips, normalizes and cuts out the images order[position ...] of `images` (M,
/// H, W, C) into x (batch, H, W, C), and copies their labels. `counters` are those of StepState.
struct GatherTensors {
  int batch, height, width;
  int channels;      // 1 to kMaxImageChannels
  DType pixel_type;  // u8 or f32
  const void* images;
  const std::int32_t *labels, *order;
  std::int64_t order_count;  // number of elements of `order`
  const std::int64_t* counters;
  void* x;
  std::int32_t* batch_labels;
};
/// Launches the kernel. `type` is the type of x.
void launch_gather(cudaStream_t stream, DType type, const GatherParams& params, const GatherTensors& tensors);

/// Advances the counters by one step, which consumed `images` images.
void launch_advance_step(cudaStream_t stream, std::int64_t* counters, std::int64_t images);

}  // namespace gradamp::GRADAMP_GPU
