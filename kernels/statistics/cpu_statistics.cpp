// SPDX-License-Identifier: MIT
// The sums in the host's memory.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "gradamp/kernels/cpu/parallel.h"
#include "gradamp/kernels/statistics/statistics_device.h"

namespace gradamp {
namespace {

/// Calls function(typed pointer) for a gradient of this type.
template <typename Pointer, typename Function>
auto with_type(Pointer* gradient, std::int32_t type, const Function& function) {
  constexpr bool kConst = std::is_const_v<Pointer>;
  if (type == GRADAMP_BF16) return function(static_cast<std::conditional_t<kConst, const Bf16, Bf16>*>(gradient));
  if (type == GRADAMP_F16) return function(static_cast<std::conditional_t<kConst, const F16, F16>*>(gradient));
  return function(static_cast<std::conditional_t<kConst, const float, float>*>(gradient));
}

/// The kernels of the best instruction set of this processor, or of the one that GRADAMP_ISA names.
const GradientKernels& choose_kernels() {
  const std::vector<InstructionSet> usable = usable_instruction_sets();
  if (usable.empty())
    throw std::invalid_argument("expected a processor of the level x86-64-v2, since about 2009; this one is older");
  const char* const wanted = std::getenv("GRADAMP_ISA");
  if (wanted == nullptr || *wanted == '\0') return gradient_kernels(usable.back());
  const auto found =
      std::find_if(usable.begin(), usable.end(), [&](auto set) { return std::strcmp(name_of(set), wanted) == 0; });
  if (found == usable.end())
    throw std::invalid_argument("GRADAMP_ISA: expected an instruction set of this processor, got '" +
                                std::string(wanted) + "'");
  return gradient_kernels(*found);
}

GradientTotals totals_of_zeros(std::int64_t count) {
  GradientTotals totals;
  totals.zeros = count;
  return totals;
}

GroupSums sum_group(const float* signed_sums, const float* absolute_sums, std::int64_t count) {
  GroupSums sums;
  sums.layer = sum_layer(signed_sums, absolute_sums, count);
  double signed_sum = 0;
  std::int64_t positive = 0, agreeing = 0;
#pragma omp simd reduction(+ : signed_sum, positive, agreeing)
  for (std::int64_t i = 0; i < count; ++i) {
    signed_sum += static_cast<double>(signed_sums[i]);
    positive += absolute_sums[i] > 0 ? 1 : 0;
    agreeing += absolute_sums[i] > 0 && std::fabs(signed_sums[i]) == absolute_sums[i] ? 1 : 0;
  }
  sums.signed_sum = signed_sum;
  sums.positive = positive;
  sums.agreeing = agreeing;
  return sums;
}

class CpuStatistics final : public StatisticsDevice {
 public:
  CpuStatistics(const StatisticsPlan& plan, int threads)
      : kernels_(choose_kernels()), plan_(plan), threads_(threads), task_count_(std::ssize(plan.tasks)) {
    state_.totals.resize(plan.tasks.size());
    state_.signed_sums.resize(static_cast<std::size_t>(plan.sums));
    state_.absolute_sums.resize(static_cast<std::size_t>(plan.sums));
  }

  void accumulate(const void* const* gradients, const std::int32_t* types) override {
    parallel_for(threads_, task_count_, [&](std::int64_t t) {
      const SumTask& task = plan_.tasks[static_cast<std::size_t>(t)];
      state_.totals[static_cast<std::size_t>(t)] +=
          plan_.by_neuron ? add_neurons(task, gradients, types) : add_elements(task, gradients, types);
    });
  }

  void scale(void* const* gradients, const std::int32_t* types, const float* factors) override {
    parallel_tasks(threads_, std::ssize(plan_.tensors), [&](std::int64_t i, int) {
      const gradamp_tensor& tensor = plan_.tensors[static_cast<std::size_t>(i)];
      const float factor = factors[tensor.layer];
      if (gradients[i] == nullptr || factor == 1.0f) return;
      with_type(gradients[i], types == nullptr ? GRADAMP_F32 : types[i],
                [&](auto* gradient) { scale_gradients(gradient, tensor.count, factor); });
    });
  }

  void reset() override {
    std::fill(state_.totals.begin(), state_.totals.end(), GradientTotals());
    std::fill(state_.signed_sums.begin(), state_.signed_sums.end(), 0.0f);
    std::fill(state_.absolute_sums.begin(), state_.absolute_sums.end(), 0.0f);
  }

  std::vector<GroupSums> group_sums() override {
    std::vector<GroupSums> sums(plan_.groups.size());
    parallel_tasks(threads_, std::ssize(sums), [&](std::int64_t g, int) {
      const SumGroup& group = plan_.groups[static_cast<std::size_t>(g)];
      sums[static_cast<std::size_t>(g)] = sum_group(state_.signed_sums.data() + group.sums_begin,
                                                    state_.absolute_sums.data() + group.sums_begin, group.sums_count);
    });
    return sums;
  }

  std::vector<GradientTotals> totals() override { return state_.totals; }
  StatisticsState read() override { return state_; }
  void write(const StatisticsState& state) override { state_ = state; }

  void set_stream(void* stream) override {
    if (stream != nullptr)
      throw std::invalid_argument("stream: expected NULL for statistics on the CPU, got an address");
  }

 private:
  GradientTotals add_elements(const SumTask& task, const void* const* gradients, const std::int32_t* types) {
    const SumGroup& group = plan_.groups[static_cast<std::size_t>(task.group)];
    const auto i = static_cast<std::size_t>(group.tensors[0]);
    const std::int64_t count = task.end - task.begin;
    if (gradients[i] == nullptr) return totals_of_zeros(count);
    const std::int64_t at = group.sums_begin + task.begin;
    return with_type(gradients[i], types == nullptr ? GRADAMP_F32 : types[i], [&](const auto* gradient) {
      using T = std::remove_cvref_t<decltype(*gradient)>;
      return kernels_.of<T>().add_weights(gradient + task.begin, count, state_.signed_sums.data() + at,
                                          state_.absolute_sums.data() + at);
    });
  }

  GradientTotals add_neurons(const SumTask& task, const void* const* gradients, const std::int32_t* types) {
    const SumGroup& group = plan_.groups[static_cast<std::size_t>(task.group)];
    GradientTotals totals;
    for (std::int64_t row = task.begin; row < task.end; ++row) {
      double sum = 0;
      for (const std::int32_t tensor : group.tensors) {
        const auto i = static_cast<std::size_t>(tensor);
        const std::int64_t length = plan_.row_length(tensor);
        const GradientTotals of_row =
            gradients[i] == nullptr
                ? totals_of_zeros(length)
                : with_type(gradients[i], types == nullptr ? GRADAMP_F32 : types[i], [&](const auto* gradient) {
                    using T = std::remove_cvref_t<decltype(*gradient)>;
                    return kernels_.of<T>().sum_neuron(gradient + row * length, length);
                  });
        sum += of_row.signed_sum;
        totals += of_row;
      }
      const auto neuron = static_cast<std::size_t>(group.sums_begin + row);
      const auto gradient = static_cast<float>(sum);
      state_.signed_sums[neuron] += gradient;
      state_.absolute_sums[neuron] += std::fabs(gradient);
    }
    return totals;
  }

  const GradientKernels& kernels_;
  const StatisticsPlan& plan_;
  int threads_;
  std::int64_t task_count_;
  StatisticsState state_;
};

}  // namespace

std::unique_ptr<StatisticsDevice> make_cpu_statistics(const StatisticsPlan& plan, int threads) {
  return std::make_unique<CpuStatistics>(plan, threads);
}

}  // namespace gradamp
