// SPDX-License-Identifier: MIT
// Softmax cross-entropy, forward and backward in one pass. A batch is a few hundred rows of 10 or 100: one block, one
// warp per row, and double precision, which is free at this size.
#include "gradamp/kernels/cuda/loss.h"

#include "gradamp/core/step_counters.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 512;

/// The largest of the warp's values and its index; the first index if several are equal.
struct Largest {
  float value;
  int index;

  __device__ void merge_lanes() {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
      const float other = __shfl_xor_sync(kAllLanes, value, distance);
      const int other_index = __shfl_xor_sync(kAllLanes, index, distance);
      if (other > value || (other == value && other_index < index)) {
        value = other;
        index = other_index;
      }
    }
  }
};

__global__ void __launch_bounds__(kThreads) softmax_cross_entropy_kernel(SoftmaxLoss in) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  double sums[2] = {};  // loss, number of correct rows
  for (int row = static_cast<int>(threadIdx.x) / 32; row < in.rows; row += kThreads / 32) {
    const float* logits = in.logits + std::int64_t{row} * in.classes;
    float* grad = in.grad_logits + std::int64_t{row} * in.classes;
    const int label = in.labels[row];
    Largest largest{-INFINITY, in.classes};
    for (int i = lane; i < in.classes; i += 32)
      if (logits[i] > largest.value) largest = {logits[i], i};
    largest.merge_lanes();
    double total = 0;
    for (int i = lane; i < in.classes; i += 32) total += exp(static_cast<double>(logits[i]) - largest.value);
    total = warp_sum(total);
    for (int i = lane; i < in.classes; i += 32) {
      const double probability = exp(static_cast<double>(logits[i]) - largest.value) / total;
      grad[i] = static_cast<float>((probability - (i == label ? 1.0 : 0.0)) / in.rows);
    }
    if (lane == 0) {
      // A label that is no class makes the loss a NaN, which marks the step.
      sums[0] += log(total) + largest.value - (label >= 0 && label < in.classes ? logits[label] : NAN);
      sums[1] += largest.index == label ? 1.0 : 0.0;
    }
  }
  block_sum<kThreads>(sums);
  if (threadIdx.x != 0) return;
  *in.loss = static_cast<float>(sums[0] / in.rows);
  in.metrics[kLossSum] += sums[0];
  in.metrics[kCorrect] += sums[1];
  if (!isfinite(sums[0]) && in.counters[kFirstBadStep] == 0) in.counters[kFirstBadStep] = in.counters[kStep] + 1;
}

}  // namespace

void launch_softmax_cross_entropy(cudaStream_t stream, const SoftmaxLoss& loss) {
  launch(softmax_cross_entropy_kernel, {1, kThreads, 0, stream}, loss);
}

}  // namespace gradamp::GRADAMP_GPU
