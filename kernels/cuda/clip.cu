// SPDX-License-Identifier: MIT
// The norm of all gradients, and what they are multiplied by if it is too large. Sums are double, in a fixed order.
#include <algorithm>

#include "gradamp/kernels/cuda/arena_elements.h"
#include "gradamp/kernels/cuda/optimizer.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Blocks that sum squares: enough to fill a GPU.
constexpr unsigned kMaxParts = 1024;

unsigned parts_of(std::int64_t count) { return std::min(arena_blocks(count), kMaxParts); }

__global__ void __launch_bounds__(kArenaThreads)
    sum_squares_kernel(std::int64_t count, const float* gradients, double* parts) {
  double sums[1] = {0};
  const std::int64_t stride = std::int64_t{gridDim.x} * kArenaBlock;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kArenaBlock + std::int64_t{threadIdx.x} * 4; i < count;
       i += stride) {
    float g[4];
    load<4>(gradients + i, g);
#pragma unroll
    for (const float value : g) sums[0] += static_cast<double>(value) * static_cast<double>(value);
  }
  block_sum<kArenaThreads>(sums);
  if (threadIdx.x == 0) parts[blockIdx.x] = sums[0];
}

__global__ void __launch_bounds__(kArenaThreads)
    clip_scale_kernel(unsigned count, const double* parts, double max_norm, float* scale) {
  double sums[1] = {0};
  for (unsigned i = threadIdx.x; i < count; i += kArenaThreads) sums[0] += parts[i];
  block_sum<kArenaThreads>(sums);
  if (threadIdx.x != 0) return;
  const double ratio = max_norm / (sqrt(sums[0]) + kClipEpsilon);
  *scale = ratio < 1 ? static_cast<float>(ratio) : 1.0f;
}

}  // namespace

std::size_t clip_workspace(std::int64_t count) { return parts_of(count); }

void launch_clip_scale(cudaStream_t stream, std::int64_t count, const float* gradients, double max_norm,
                       double* workspace, float* scale) {
  const unsigned parts = parts_of(count);
  launch(sum_squares_kernel, {parts, kArenaThreads, 0, stream}, count, gradients, workspace);
  launch(clip_scale_kernel, {1, kArenaThreads, 0, stream}, parts, workspace, max_norm, scale);
}

}  // namespace gradamp::GRADAMP_GPU
