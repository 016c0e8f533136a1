// SPDX-License-Identifier: MIT
// Your own CUDA kernel.
#include "scaled.h"

#include <gradamp/kernels/cuda/cuda.h>

namespace own::GRADAMP_GPU {
using namespace gradamp::GRADAMP_GPU;  // the emulator defines CUDA's names there

__global__ void __launch_bounds__(128) scaled_kernel(std::int64_t count, float a, const float* x, float b, float* y) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) y[i] = a * x[i] + b;
}

void scaled(void* stream, std::int64_t count, float a, const float* x, float b, float* y) {
  const auto blocks = static_cast<unsigned>((count + 127) / 128);
  launch(scaled_kernel, {blocks, 128, 0, static_cast<cudaStream_t>(stream)}, count, a, x, b, y);
}

}  // namespace own::GRADAMP_GPU
