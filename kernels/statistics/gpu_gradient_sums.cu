// SPDX-License-Identifier: MIT
// The kernels of gradamp::statistics on a GPU. A task of the plan is a block, which alone adds to its sums and totals,
// so nothing is atomic and the bits are the same every time.
#include "gradamp/kernels/statistics/gpu_gradient_sums.h"

#include "gradamp/core/bf16.h"
#include "gradamp/core/f16.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/statistics/gradamp_statistics.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kInfinity = 0x7f800000u;  // the bits of magnitudes that are not finite are not below

/// A gradient in memory of 16 bits.
struct Bf16Bits {
  std::uint16_t bits;
};
struct F16Bits {
  std::uint16_t bits;
};

__device__ __forceinline__ float value_of(float value) { return value; }
__device__ __forceinline__ float value_of(Bf16Bits value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
__device__ __forceinline__ float value_of(F16Bits value) { return from_f16(value.bits); }

__device__ __forceinline__ void assign(float& to, float value) { to = value; }
__device__ __forceinline__ void assign(Bf16Bits& to, float value) { to.bits = to_bf16(value); }
__device__ __forceinline__ void assign(F16Bits& to, float value) { to.bits = to_f16(value); }

/// Four gradients that are aligned to their size.
template <typename T>
__device__ __forceinline__ void load_four(const T* from, float (&values)[4]) {
  if constexpr (sizeof(T) == 4) {
    const uint4 words = load_vector_streaming<uint4>(from);
    values[0] = __uint_as_float(words.x);
    values[1] = __uint_as_float(words.y);
    values[2] = __uint_as_float(words.z);
    values[3] = __uint_as_float(words.w);
  } else {  // the lower address is the lower half
    const uint2 words = load_vector_streaming<uint2>(from);
    values[0] = value_of(T{static_cast<std::uint16_t>(words.x)});
    values[1] = value_of(T{static_cast<std::uint16_t>(words.x >> 16)});
    values[2] = value_of(T{static_cast<std::uint16_t>(words.y)});
    values[3] = value_of(T{static_cast<std::uint16_t>(words.y >> 16)});
  }
}

template <typename T>
__device__ __forceinline__ bool is_aligned_to_four(const T* address) {
  return reinterpret_cast<std::uintptr_t>(address) % (4 * sizeof(T)) == 0;
}

/// Calls function(typed pointer). All threads of a block have the same type.
template <typename Function>
__device__ __forceinline__ void with_type(const GradientAddress& address, const Function& function) {
  if (address.type == GRADAMP_BF16) {
    function(static_cast<const Bf16Bits*>(address.data));
  } else if (address.type == GRADAMP_F16) {
    function(static_cast<const F16Bits*>(address.data));
  } else {
    function(static_cast<const float*>(address.data));
  }
}

/// What one thread has seen.
struct ThreadTotals {
  double signed_sum = 0, absolute_sum = 0, square_sum = 0;
  unsigned maximum = 0;  // the bits of a magnitude, which compare as magnitudes do
  std::int64_t zeros = 0, not_finite = 0;

  /// Returns the gradient, or 0 for one that is not finite.
  __device__ __forceinline__ float add(float gradient) {
    const unsigned bits = __float_as_uint(gradient), magnitude = bits & 0x7fffffffu;
    const bool finite = magnitude < kInfinity;
    zeros += magnitude == 0 ? 1 : 0;
    not_finite += finite ? 0 : 1;
    if (!finite) return 0;
    maximum = max(maximum, magnitude);
    const auto wide = static_cast<double>(gradient);
    square_sum += wide * wide;
    return gradient;
  }
};

__device__ __forceinline__ unsigned block_maximum(unsigned value) {
  SHARED(largest, unsigned[kThreads / 32]);
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = max(value, __shfl_xor_sync(kAllLanes, value, distance));
  if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = value;
  __syncthreads();
  for (int warp = 0; warp < kThreads / 32; ++warp) value = max(value, largest[warp]);
  return value;
}

/// Adds what the threads of a block have seen. All of them must call it.
__device__ __forceinline__ void add_totals(const ThreadTotals& seen, GradientTotals& totals) {
  double sums[3] = {seen.signed_sum, seen.absolute_sum, seen.square_sum};
  std::int64_t counts[2] = {seen.zeros, seen.not_finite};
  block_sum<kThreads>(sums);
  block_sum<kThreads>(counts);
  const unsigned maximum = block_maximum(seen.maximum);
  if (threadIdx.x != 0) return;
  totals.signed_sum += sums[0];
  totals.absolute_sum += sums[1];
  totals.square_sum += sums[2];
  totals.maximum = fmax(totals.maximum, static_cast<double>(__uint_as_float(maximum)));
  totals.zeros += counts[0];
  totals.not_finite += counts[1];
}

/// By weight: a task's elements are of one tensor.
template <typename T>
__device__ __forceinline__ void add_elements(const T* gradients, const GpuTask& task, const GpuSums& sums,
                                             ThreadTotals& totals) {
  const std::int64_t count = task.end - task.begin;
  const T* const from = gradients + task.begin;
  float* const signed_sums = sums.signed_sums + task.sums_begin + task.begin;
  float* const absolute_sums = sums.absolute_sums + task.sums_begin + task.begin;
  std::int64_t first = 0;  // that is added alone
  if (is_aligned_to_four(from)) {
    first = count / 4 * 4;
    for (std::int64_t i = static_cast<std::int64_t>(threadIdx.x) * 4; i < first; i += kThreads * 4) {
      float gradient[4];
      load_four(from + i, gradient);
      auto s = load_vector_streaming<float4>(signed_sums + i), a = load_vector_streaming<float4>(absolute_sums + i);
      float* const signed_sum[4] = {&s.x, &s.y, &s.z, &s.w};
      float* const absolute_sum[4] = {&a.x, &a.y, &a.z, &a.w};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float finite = totals.add(gradient[e]);
        *signed_sum[e] += finite;
        *absolute_sum[e] += fabsf(finite);
      }
      store_vector_streaming(signed_sums + i, s);
      store_vector_streaming(absolute_sums + i, a);
    }
  }
  for (std::int64_t i = first + threadIdx.x; i < count; i += kThreads) {
    const float finite = totals.add(value_of(from[i]));
    signed_sums[i] += finite;
    absolute_sums[i] += fabsf(finite);
  }
}

__global__ void __launch_bounds__(kThreads)
    add_weights_kernel(GpuPlan plan, const GradientAddress* addresses, GpuSums sums) {
  const GpuTask& task = plan.tasks[blockIdx.x];
  const GradientAddress& address = addresses[plan.tensors[task.first_tensor].tensor];
  ThreadTotals totals;
  if (address.data == nullptr) {
    if (threadIdx.x == 0) totals.zeros = task.end - task.begin;
  } else {
    with_type(address, [&](const auto* gradients) { add_elements(gradients, task, sums, totals); });
  }
  add_totals(totals, sums.totals[blockIdx.x]);
}

/// By neuron: a warp adds the rows of a neuron, or a thread if they are short.
__global__ void __launch_bounds__(kThreads)
    add_neurons_kernel(GpuPlan plan, const GradientAddress* addresses, GpuSums sums) {
  const GpuTask& task = plan.tasks[blockIdx.x];
  std::int64_t length = 0;
  for (int t = 0; t < task.tensor_count; ++t) length += plan.tensors[task.first_tensor + t].row_length;
  const int lanes = length < 32 ? 1 : 32, lane = static_cast<int>(threadIdx.x) % lanes;
  ThreadTotals totals;
  for (std::int64_t row = task.begin + static_cast<int>(threadIdx.x) / lanes; row < task.end; row += kThreads / lanes) {
    double sum = 0;
    for (int t = 0; t < task.tensor_count; ++t) {
      const GpuTensor& tensor = plan.tensors[task.first_tensor + t];
      const GradientAddress& address = addresses[tensor.tensor];
      if (address.data == nullptr) {
        totals.zeros += lane == 0 ? tensor.row_length : 0;
        continue;
      }
      with_type(address, [&](const auto* gradients) {
        const auto* const of_row = gradients + row * tensor.row_length;
        for (std::int64_t i = lane; i < tensor.row_length; i += lanes) {
          const auto gradient = static_cast<double>(totals.add(value_of(of_row[i])));
          sum += gradient;
          totals.signed_sum += gradient;
          totals.absolute_sum += fabs(gradient);
        }
      });
    }
    if (lanes == 32) sum = warp_sum(sum);  // a warp's lanes all have the same row
    if (lane != 0) continue;
    const std::int64_t neuron = task.sums_begin + row;
    const auto gradient = static_cast<float>(sum);
    sums.signed_sums[neuron] += gradient;
    sums.absolute_sums[neuron] += fabsf(gradient);
  }
  add_totals(totals, sums.totals[blockIdx.x]);
}

__global__ void __launch_bounds__(kThreads) task_sums_kernel(GpuPlan plan, GpuSums sums, GpuTaskSums* task_sums) {
  const GpuTask& task = plan.tasks[blockIdx.x];
  double of_thread[6] = {};
  for (std::int64_t i = task.begin + threadIdx.x; i < task.end; i += kThreads) {
    const float s = sums.signed_sums[task.sums_begin + i], a = sums.absolute_sums[task.sums_begin + i];
    const double wide_s = static_cast<double>(s), wide_a = static_cast<double>(a);
    of_thread[0] += fabs(wide_s);
    of_thread[1] += wide_a;
    of_thread[2] += a > 0 ? fabs(wide_s) / wide_a : 0.0;
    of_thread[3] += wide_s;
    of_thread[4] += a > 0 ? 1.0 : 0.0;
    of_thread[5] += a > 0 && fabsf(s) == a ? 1.0 : 0.0;
  }
  block_sum<kThreads>(of_thread);
  if (threadIdx.x == 0)
    task_sums[blockIdx.x] = {of_thread[0], of_thread[1], of_thread[2], of_thread[3], of_thread[4], of_thread[5]};
}

__global__ void __launch_bounds__(kThreads)
    scale_kernel(const GpuRange* ranges, const GradientAddress* addresses, const float* factors) {
  const GpuRange& range = ranges[blockIdx.x];
  const GradientAddress& address = addresses[range.tensor];
  const float factor = factors[range.layer];
  if (address.data == nullptr || factor == 1.0f) return;
  with_type(address, [&](const auto* gradients) {
    using T = std::remove_const_t<std::remove_reference_t<decltype(*gradients)>>;
    T* const of_range = const_cast<T*>(gradients) + range.begin;
    for (std::int64_t i = threadIdx.x; i < range.count; i += kThreads)
      assign(of_range[i], factor * value_of(of_range[i]));
  });
}

}  // namespace

void launch_add_gradients(cudaStream_t stream, const GpuPlan& plan, bool by_neuron, const GradientAddress* addresses,
                          const GpuSums& sums) {
  launch(by_neuron ? add_neurons_kernel : add_weights_kernel,
         {static_cast<unsigned>(plan.task_count), kThreads, 0, stream}, plan, addresses, sums);
}

void launch_task_sums(cudaStream_t stream, const GpuPlan& plan, const GpuSums& sums, GpuTaskSums* task_sums) {
  launch(task_sums_kernel, {static_cast<unsigned>(plan.task_count), kThreads, 0, stream}, plan, sums, task_sums);
}

void launch_scale(cudaStream_t stream, const GpuRange* ranges, int range_count, const GradientAddress* addresses,
                  const float* factors) {
  launch(scale_kernel, {static_cast<unsigned>(range_count), kThreads, 0, stream}, ranges, addresses, factors);
}

}  // namespace gradamp::GRADAMP_GPU
