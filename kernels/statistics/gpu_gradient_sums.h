// SPDX-License-Identifier: MIT
// Launches of the kernels that sum gradients on a GPU. Pointers are device pointers.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/statistics/gradient_sums.h"

namespace gradamp::GRADAMP_GPU {

/// Where a tensor's gradient is, and its type (GRADAMP_F32, ...). Null: it received none, which counts as zeros.
struct GradientAddress {
  const void* data = nullptr;
  std::int64_t type = 0;

  bool operator==(const GradientAddress&) const = default;
};

/// A tensor as a part of its group.
struct GpuTensor {
  std::int32_t tensor = 0, layer = 0;
  std::int64_t row_length = 0;
};

/// The elements (neurons) `begin` to `end` of a group, whose sums begin at `sums_begin` and whose tensors are
/// `tensor_count` of GpuPlan::tensors from `first_tensor` on. A block adds them.
struct GpuTask {
  std::int64_t begin = 0, end = 0, sums_begin = 0;
  std::int32_t first_tensor = 0, tensor_count = 0;
};

struct GpuPlan {
  const GpuTask* tasks;
  int task_count;
  const GpuTensor* tensors;
};

/// The sums: f32, as StatisticsPlan lays them out. totals: one per task.
struct GpuSums {
  float *signed_sums, *absolute_sums;
  GradientTotals* totals;
};

/// What a task adds to its group's GroupSums.
struct GpuTaskSums {
  double absolute_signed_sum, absolute_sum, ratio_sum, signed_sum, positive, agreeing;
};

/// Elements of one tensor, which a block multiplies by its layer's factor.
struct GpuRange {
  std::int32_t tensor = 0, layer = 0;
  std::int64_t begin = 0, count = 0;
};

/// Adds an iteration's gradients to the sums and the totals, in one launch and one pass over the gradients. The bits
/// depend on the gradients alone.
void launch_add_gradients(cudaStream_t stream, const GpuPlan& plan, bool by_neuron, const GradientAddress* addresses,
                          const GpuSums& sums);
/// task_sums: one per task.
void launch_task_sums(cudaStream_t stream, const GpuPlan& plan, const GpuSums& sums, GpuTaskSums* task_sums);
/// Multiplies the gradients by the factors of their layers, in place.
void launch_scale(cudaStream_t stream, const GpuRange* ranges, int range_count, const GradientAddress* addresses,
                  const float* factors);

}  // namespace gradamp::GRADAMP_GPU
