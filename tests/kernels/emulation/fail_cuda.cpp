// SPDX-License-Identifier: MIT
// The function of kernels/cuda/cuda.h that the backend defines, which these tests do not link.
#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

void fail_cuda(cudaError_t error, const char* what, const char* file, int line) {
  fail("{} at {}:{}: {}", what, file, line, cudaGetErrorString(error));
}

}  // namespace gradamp::GRADAMP_GPU
