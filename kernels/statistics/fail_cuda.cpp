// SPDX-License-Identifier: MIT
// The function of kernels/cuda/cuda.h for this library, which has no fmt.
#include <cstdio>
#include <stdexcept>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

void fail_cuda(cudaError_t error, const char* what, const char* file, int line) {
  char message[512];
  std::snprintf(message, sizeof message, "%s at %s:%d: CUDA reports '%s' (%s)", what, file, line,
                cudaGetErrorString(error), cudaGetErrorName(error));
  throw std::runtime_error(message);
}

}  // namespace gradamp::GRADAMP_GPU
