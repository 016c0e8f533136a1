// SPDX-License-Identifier: MIT
// What kernels/cuda/cuda.h leaves to the backend, which these tests do without.
#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

void fail_cuda(cudaError_t error, const char* what, const char* file, int line) {
  fail("{} at {}:{}: {}", what, file, line, cudaGetErrorString(error));
}

}  // namespace gradamp::GRADAMP_GPU
