// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/rules/rule_kernels.h"

namespace gradamp::stand_in_rules {
namespace {

__global__ void static_shared_kernel(float* out) {
  __shared__ float values[128];
  extern __shared__ float dynamic[];
  values[threadIdx.x % 128] = static_cast<float>(threadIdx.x);
  dynamic[threadIdx.x] = values[threadIdx.x % 128];
  __syncthreads();
  if (threadIdx.x == 0) *out = dynamic[blockDim.x - 1] + values[0];
}

__global__ void __launch_bounds__(128) bounded_kernel(float* out) { *out = 1.0f; }

constexpr int kLiveValues = 96;

/// All values are live at the barrier.
__global__ void register_kernel(float* out) {
  float values[kLiveValues];
#pragma unroll
  for (int i = 0; i < kLiveValues; ++i) values[i] = out[i * blockDim.x + threadIdx.x];
  __syncthreads();
  float product = 1.0f;
#pragma unroll
  for (int i = 0; i < kLiveValues; ++i) product = product * values[i] + values[kLiveValues - 1 - i];
  out[threadIdx.x] = product;
}

__global__ void store_kernel(float* out) { *out = 7.0f; }

}  // namespace

const void* function_of(RuleKernel kernel) {
  switch (kernel) {
    case RuleKernel::kStaticShared: return reinterpret_cast<const void*>(static_shared_kernel);
    case RuleKernel::kBounded: return reinterpret_cast<const void*>(bounded_kernel);
    case RuleKernel::kRegisters: return reinterpret_cast<const void*>(register_kernel);
    case RuleKernel::kStore: return reinterpret_cast<const void*>(store_kernel);
  }
  return nullptr;
}

cudaError_t launch(RuleKernel kernel, dim3 grid, dim3 block, std::size_t dynamic_shared, float* out,
                   cudaStream_t stream) {
  void* arguments[] = {&out};
  return cudaLaunchKernel(function_of(kernel), grid, block, arguments, dynamic_shared, stream);
}

}  // namespace gradamp::stand_in_rules
