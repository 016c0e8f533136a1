// SPDX-License-Identifier: MIT
#include "bench/gpu_library.h"

namespace gradamp::bench {

std::optional<double> library_copy_rate(std::size_t) { return std::nullopt; }
std::optional<double> library_matrix_rate(Precision) { return std::nullopt; }

}  // namespace gradamp::bench
