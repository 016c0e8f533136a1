// SPDX-License-Identifier: MIT
#include "gradamp/kernels/statistics/gpu_statistics.h"

#include <algorithm>
#include <new>
#include <span>
#include <utility>

#include "gradamp/kernels/statistics/gpu_gradient_sums.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Elements that a block scales.
constexpr std::int64_t kRange = 16384;

/// Makes a device the current one of this thread while it exists.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    check_cuda(cudaGetDevice(&before_), "cudaGetDevice");
    if (device != before_) check_cuda(cudaSetDevice(device), "cudaSetDevice");
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  ~CurrentDevice() { cudaSetDevice(before_); }

 private:
  int before_ = 0;
};

/// An array in the memory of the current device.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, std::max<std::size_t>(count, 1) * sizeof(T));
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // clears it
      throw std::bad_alloc();
    }
    check_cuda(error, "cudaMalloc");
    data_ = static_cast<T*>(memory);
  }
  explicit DeviceArray(std::span<const T> values) : DeviceArray(values.size()) {
    check_cuda(cudaMemcpy(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* data() const { return data_; }
  /// `values` can be changed as soon as it returns: the runtime copies pageable memory first.
  void copy_from(std::span<const T> values, cudaStream_t stream) {
    check_cuda(cudaMemcpyAsync(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice, stream),
               "cudaMemcpyAsync");
  }
  void clear(cudaStream_t stream) {
    check_cuda(cudaMemsetAsync(data_, 0, count_ * sizeof(T), stream), "cudaMemsetAsync");
  }
  std::vector<T> to_host(cudaStream_t stream) const {
    std::vector<T> values(count_);
    check_cuda(cudaMemcpyAsync(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost, stream),
               "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    return values;
  }

 private:
  std::size_t count_;
  T* data_ = nullptr;
};

std::vector<GpuTensor> gpu_tensors(const StatisticsPlan& plan) {
  std::vector<GpuTensor> tensors;
  for (const SumGroup& group : plan.groups)
    for (const std::int32_t tensor : group.tensors) tensors.push_back({tensor, group.layer, plan.row_length(tensor)});
  return tensors;
}

std::vector<GpuTask> gpu_tasks(const StatisticsPlan& plan) {
  std::vector<std::int32_t> first_tensors;  // of each group
  std::int32_t tensors = 0;
  for (const SumGroup& group : plan.groups) {
    first_tensors.push_back(tensors);
    tensors += static_cast<std::int32_t>(group.tensors.size());
  }
  std::vector<GpuTask> tasks;
  for (const SumTask& task : plan.tasks) {
    const SumGroup& group = plan.groups[static_cast<std::size_t>(task.group)];
    tasks.push_back({task.begin, task.end, group.sums_begin, first_tensors[static_cast<std::size_t>(task.group)],
                     static_cast<std::int32_t>(group.tensors.size())});
  }
  return tasks;
}

std::vector<GpuRange> gpu_ranges(const StatisticsPlan& plan) {
  std::vector<GpuRange> ranges;
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    const gradamp_tensor& tensor = plan.tensors[i];
    for (std::int64_t begin = 0; begin < tensor.count; begin += kRange)
      ranges.push_back({static_cast<std::int32_t>(i), tensor.layer, begin, std::min(kRange, tensor.count - begin)});
  }
  return ranges;
}

class GpuStatistics final : public StatisticsDevice {
 public:
  GpuStatistics(const StatisticsPlan& plan, int device)
      : plan_(plan),
        device_(device),
        tasks_(std::span<const GpuTask>(gpu_tasks(plan))),
        tensors_(std::span<const GpuTensor>(gpu_tensors(plan))),
        ranges_(std::span<const GpuRange>(gpu_ranges(plan))),
        range_count_(static_cast<int>(gpu_ranges(plan).size())),
        addresses_(plan.tensors.size()),
        given_(plan.tensors.size()),
        factors_(static_cast<std::size_t>(plan.layers)),
        signed_sums_(static_cast<std::size_t>(plan.sums)),
        absolute_sums_(static_cast<std::size_t>(plan.sums)),
        totals_(plan.tasks.size()),
        task_sums_(plan.tasks.size()) {
    reset();
  }

  ~GpuStatistics() override {
    // Its memory is freed when the work is done, whatever device is the current one.
    cudaStreamSynchronize(stream_);
  }

  void accumulate(const void* const* gradients, const std::int32_t* types) override {
    const CurrentDevice current(device_);
    give_addresses(gradients, types);
    launch_add_gradients(stream_, gpu_plan(), plan_.by_neuron, addresses_.data(), sums());
  }

  void scale(void* const* gradients, const std::int32_t* types, const float* factors) override {
    const CurrentDevice current(device_);
    give_addresses(gradients, types);
    factors_.copy_from({factors, static_cast<std::size_t>(plan_.layers)}, stream_);
    launch_scale(stream_, ranges_.data(), range_count_, addresses_.data(), factors_.data());
  }

  void reset() override {
    const CurrentDevice current(device_);
    signed_sums_.clear(stream_);
    absolute_sums_.clear(stream_);
    totals_.clear(stream_);
  }

  std::vector<GroupSums> group_sums() override {
    const CurrentDevice current(device_);
    launch_task_sums(stream_, gpu_plan(), sums(), task_sums_.data());
    const std::vector<GpuTaskSums> of_tasks = task_sums_.to_host(stream_);
    std::vector<GroupSums> groups(plan_.groups.size());
    for (std::size_t t = 0; t < of_tasks.size(); ++t) {
      const GpuTaskSums& task = of_tasks[t];
      GroupSums& group = groups[static_cast<std::size_t>(plan_.tasks[t].group)];
      group.layer += {task.absolute_signed_sum, task.absolute_sum, task.ratio_sum};
      group.signed_sum += task.signed_sum;
      group.positive += static_cast<std::int64_t>(task.positive);
      group.agreeing += static_cast<std::int64_t>(task.agreeing);
    }
    return groups;
  }

  std::vector<GradientTotals> totals() override {
    const CurrentDevice current(device_);
    return totals_.to_host(stream_);
  }

  StatisticsState read() override {
    const CurrentDevice current(device_);
    return {totals_.to_host(stream_), signed_sums_.to_host(stream_), absolute_sums_.to_host(stream_)};
  }

  void write(const StatisticsState& state) override {
    const CurrentDevice current(device_);
    totals_.copy_from(state.totals, stream_);
    signed_sums_.copy_from(state.signed_sums, stream_);
    absolute_sums_.copy_from(state.absolute_sums, stream_);
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  void set_stream(void* stream) override {
    const CurrentDevice current(device_);
    if (stream == stream_) return;
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");  // what follows comes after what was before
    stream_ = static_cast<cudaStream_t>(stream);
  }

 private:
  GpuPlan gpu_plan() const { return {tasks_.data(), static_cast<int>(plan_.tasks.size()), tensors_.data()}; }
  GpuSums sums() const { return {signed_sums_.data(), absolute_sums_.data(), totals_.data()}; }

  /// Brings the addresses to the device unless it has them: most programs have their gradients where they were.
  void give_addresses(const void* const* gradients, const std::int32_t* types) {
    for (std::size_t i = 0; i < given_.size(); ++i) {
      const GradientAddress now{gradients[i], types == nullptr ? GRADAMP_F32 : types[i]};
      has_given_ = has_given_ && now == given_[i];
      given_[i] = now;
    }
    if (has_given_) return;
    addresses_.copy_from(given_, stream_);
    has_given_ = true;
  }

  const StatisticsPlan& plan_;
  int device_;
  cudaStream_t stream_ = nullptr;
  DeviceArray<GpuTask> tasks_;
  DeviceArray<GpuTensor> tensors_;
  DeviceArray<GpuRange> ranges_;
  int range_count_;
  DeviceArray<GradientAddress> addresses_;
  std::vector<GradientAddress> given_;  // the last call's
  bool has_given_ = false;              // whether addresses_ has them
  DeviceArray<float> factors_, signed_sums_, absolute_sums_;
  DeviceArray<GradientTotals> totals_;
  DeviceArray<GpuTaskSums> task_sums_;
};

}  // namespace

std::unique_ptr<StatisticsDevice> make_gpu_statistics(const StatisticsPlan& plan, int device) {
  const CurrentDevice current(device);
  return std::make_unique<GpuStatistics>(plan, device);
}

}  // namespace gradamp::GRADAMP_GPU
