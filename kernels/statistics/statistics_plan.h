// SPDX-License-Identifier: MIT
// How the gradients of a list of tensors are summed, on every device: which sums there are, and the tasks that add to
// them. It follows from the tensors alone, so that states fit every device and the bits do not depend on the number of
// threads.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/kernels/statistics/gradamp_statistics.h"

namespace gradamp {

/// Sums that belong together. By weight: those of one tensor. By neuron: those of the tensors of a layer with equally
/// many rows, whose neurons they share.
struct SumGroup {
  std::int32_t layer = 0;
  std::int64_t sums_begin = 0, sums_count = 0;  // in the sums: elements, or neurons
  std::vector<std::int32_t> tensors;
};

/// A range of a group's elements or neurons, which is added as one: by a thread of the CPU, by a block of a GPU.
struct SumTask {
  std::int32_t group;
  std::int64_t begin, end;  // from the group's first
};

struct StatisticsPlan {
  /// Error unless the tensors are valid: checked by gradamp_statistics_create.
  StatisticsPlan(std::vector<gradamp_tensor> given, bool neurons);

  /// Elements that lead into a neuron, of one tensor.
  std::int64_t row_length(std::int32_t tensor) const {
    const gradamp_tensor& of = tensors[static_cast<std::size_t>(tensor)];
    return of.count / of.rows;
  }

  std::vector<gradamp_tensor> tensors;
  bool by_neuron;
  std::int32_t layers = 0;
  std::vector<std::int64_t> elements;  // of each layer
  std::vector<SumGroup> groups;        // those of a layer are not always beside each other
  std::vector<SumTask> tasks;          // in the order of the groups
  /// Floats of the signed sums, and of the absolute sums. A group begins at a multiple of 16, the padding is 0.
  std::int64_t sums = 0;

 private:
  void make_groups();
  void make_tasks();
};

}  // namespace gradamp
