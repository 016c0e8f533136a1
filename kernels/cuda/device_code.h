// SPDX-License-Identifier: MIT
#pragma once

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// An empty kernel, for cudaFuncGetAttributes: all kernels are compiled for the same architectures, so it tells whether
/// the program has code for a GPU. It has a file of its own because a driver compiles PTX one file at a time.
const void* empty_kernel_address();

}  // namespace gradamp::GRADAMP_GPU
