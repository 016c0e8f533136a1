// SPDX-License-Identifier: MIT
#include "gradamp/kernels/statistics/statistics_plan.h"

#include <algorithm>
#include <utility>

namespace gradamp {
namespace {

/// Elements of a task: 64 KiB of floats.
constexpr std::int64_t kTaskElements = 16384;
constexpr std::int64_t kAlignment = 16;  // floats: a cache line

}  // namespace

StatisticsPlan::StatisticsPlan(std::vector<gradamp_tensor> given, bool neurons)
    : tensors(std::move(given)), by_neuron(neurons) {
  for (const gradamp_tensor& tensor : tensors) layers = std::max(layers, tensor.layer + 1);
  elements.resize(static_cast<std::size_t>(layers));
  make_groups();
  make_tasks();
}

void StatisticsPlan::make_groups() {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const gradamp_tensor& tensor = tensors[i];
    elements[static_cast<std::size_t>(tensor.layer)] += tensor.count;
    const std::int64_t count = by_neuron ? tensor.rows : tensor.count;
    const auto shared = std::find_if(groups.begin(), groups.end(), [&](const SumGroup& group) {
      return by_neuron && group.layer == tensor.layer && group.sums_count == count;
    });
    if (shared != groups.end()) {
      shared->tensors.push_back(static_cast<std::int32_t>(i));
      continue;
    }
    groups.push_back({tensor.layer, sums, count, {static_cast<std::int32_t>(i)}});
    sums += (count + kAlignment - 1) / kAlignment * kAlignment;
  }
}

void StatisticsPlan::make_tasks() {
  std::vector<std::int64_t> steps;  // sums of a task, of each group
  std::size_t count = 0;
  for (const SumGroup& group : groups) {
    std::int64_t length = 0;  // elements per sum
    for (const std::int32_t tensor : group.tensors) length += by_neuron ? row_length(tensor) : 1;
    steps.push_back(std::max<std::int64_t>(1, kTaskElements / length));
    count += static_cast<std::size_t>((group.sums_count + steps.back() - 1) / steps.back());
  }
  tasks.reserve(count);  // fails at once if the tensors are too large
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (std::int64_t begin = 0; begin < groups[g].sums_count; begin += steps[g])
      tasks.push_back({static_cast<std::int32_t>(g), begin, std::min(groups[g].sums_count, begin + steps[g])});
}

}  // namespace gradamp
