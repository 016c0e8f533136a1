// SPDX-License-Identifier: MIT
// Softmax cross-entropy, forward and backward in one pass. A batch is a few hundred rows of 10 or 100: one warp per
// row, and double precision, which is free at this size. The last block adds the blocks' sums.
#include "gradamp/kernels/cuda/loss.h"

#include <algorithm>

#include "gradamp/core/step_counters.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kMaxBlocks = kThreads;  // so that each thread of the last block reads the sums of one

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

/// The work of a block. workspace (blocks, 2): loss and correct rows of each block. `smoothing` is used only with
/// kSmoothed.
template <bool kSmoothed>
__device__ __forceinline__ void softmax_cross_entropy(const SoftmaxLoss& in, double smoothing, double* workspace,
                                                      unsigned* completion_counter) {
  // The targets of the classes that are not the label's, and of the label's.
  const double other_target = kSmoothed ? smoothing / in.classes : 0.0;
  const double target = kSmoothed ? 1.0 - smoothing + other_target : 1.0;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  double sums[2] = {};  // loss, number of correct rows
  const int first_row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  for (int row = first_row; row < in.rows; row += static_cast<int>(gridDim.x) * kWarps) {
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
      grad[i] = static_cast<float>((probability - (i == label ? target : other_target)) / in.divisor);
    }
    double mean = 0;  // of the logits' differences from the largest one, which are smaller numbers than the logits
    if constexpr (kSmoothed) {
      for (int i = lane; i < in.classes; i += 32) mean += static_cast<double>(logits[i]) - largest.value;
      mean = warp_sum(mean) / in.classes;
    }
    if (lane == 0) {
      // A label that is no class makes the loss a NaN, which marks the step.
      const float of_label = label >= 0 && label < in.classes ? logits[label] : NAN;
      if constexpr (kSmoothed) {
        const double difference = static_cast<double>(of_label) - largest.value;
        sums[0] += log(total) - (1.0 - smoothing) * difference - smoothing * mean;
      } else {
        sums[0] += log(total) + largest.value - of_label;
      }
      sums[1] += largest.index == label ? 1.0 : 0.0;
    }
  }
  block_sum<kThreads>(sums);
  if (gridDim.x > 1) {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < 2) workspace[static_cast<int>(blockIdx.x) * 2 + thread] = sums[thread];
    if (!is_last_block(completion_counter, gridDim.x)) return;
    const bool has_block = thread < static_cast<int>(gridDim.x);
    sums[0] = has_block ? __ldcg(workspace + thread * 2) : 0.0;
    sums[1] = has_block ? __ldcg(workspace + thread * 2 + 1) : 0.0;
    block_sum<kThreads>(sums);
  }
  if (threadIdx.x != 0) return;
  *in.loss = static_cast<float>(sums[0] / in.divisor);
  in.metrics[kLossSum] += sums[0];
  in.metrics[kCorrect] += sums[1];
  if (!isfinite(sums[0]) && in.counters[kFirstBadStep] == 0) in.counters[kFirstBadStep] = in.counters[kStep] + 1;
}

// Two kernels and not one template, so that the plain one keeps its name and its parameters.
__global__ void __launch_bounds__(kThreads)
    softmax_cross_entropy_kernel(SoftmaxLoss in, double* workspace, unsigned* completion_counter) {
  softmax_cross_entropy<false>(in, 0.0, workspace, completion_counter);
}

__global__ void __launch_bounds__(kThreads)
    smoothed_cross_entropy_kernel(SoftmaxLoss in, double smoothing, double* workspace, unsigned* completion_counter) {
  softmax_cross_entropy<true>(in, smoothing, workspace, completion_counter);
}

/// One thread adds the rows, of which there are few, in their order.
__global__ void add_metrics_kernel(std::int64_t rows, const double* values, std::int64_t* counters, double* metrics) {
  for (std::int64_t row = 0; row < rows; ++row, values += kStepMetricCount) {
    for (int i = 0; i < kStepMetricCount; ++i) metrics[i] += values[i];
    if (!isfinite(values[kLossSum]) && counters[kFirstBadStep] == 0) counters[kFirstBadStep] = counters[kStep] + 1;
  }
}

int blocks_of(int rows) { return std::clamp((rows + kWarps - 1) / kWarps, 1, kMaxBlocks); }

}  // namespace

std::size_t softmax_loss_workspace(int rows) { return 2 * static_cast<std::size_t>(blocks_of(rows)); }

void launch_softmax_cross_entropy(cudaStream_t stream, const SoftmaxLoss& loss, double label_smoothing,
                                  double* workspace, unsigned* completion_counters) {
  const Launch blocks{static_cast<unsigned>(blocks_of(loss.rows)), kThreads, 0, stream};
  if (label_smoothing > 0) {
    launch(smoothed_cross_entropy_kernel, blocks, loss, label_smoothing, workspace, completion_counters);
  } else {
    launch(softmax_cross_entropy_kernel, blocks, loss, workspace, completion_counters);
  }
}

void launch_add_metrics(cudaStream_t stream, std::int64_t rows, const double* values, std::int64_t* counters,
                        double* metrics) {
  launch(add_metrics_kernel, {1, 1, 0, stream}, rows, values, counters, metrics);
}

}  // namespace gradamp::GRADAMP_GPU
