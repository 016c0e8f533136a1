// SPDX-License-Identifier: MIT
#pragma once

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// An empty kernel, for cudaFuncGetAttributes. All kernels are compiled for the same architectures, so this one shows
/// whether the program has code for a GPU. It has a separate file because a driver compiles PTX file by file.
const void* empty_kernel_address();

}  // namespace gradamp::GRADAMP_GPU
