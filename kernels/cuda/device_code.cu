// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/device_code.h"

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {
namespace {

__global__ void empty_kernel() {}

}  // namespace

const void* empty_kernel_address() { return reinterpret_cast<const void*>(&empty_kernel); }

}  // namespace gradamp::GRADAMP_GPU
