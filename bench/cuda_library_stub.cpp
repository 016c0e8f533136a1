// SPDX-License-Identifier: MIT
#include "gradamp/bench/cuda_library.h"

namespace gradamp::bench {

LibraryRate library_copy_rate(std::size_t, std::size_t) { return {0, "this build has no CUDA"}; }
LibraryRate library_matrix_rate(Precision, int) { return {0, "this build has no cuBLAS"}; }

}  // namespace gradamp::bench
