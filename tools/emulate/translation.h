// SPDX-License-Identifier: MIT
// Plain CUDA C++ as C++ for the emulator: what is CUDA's own syntax is rewritten, everything else stays as it is, on
// the same lines.
//
//     __shared__ float a[32], b;          SHARED(a, float[32]); SHARED(b, float);
//     extern __shared__ float data[];     DYNAMIC_SHARED(float, data);
//     kernel<<<grid, block>>>(x)          ::gradamp::emulation::plain(grid, block).launch(kernel)(x)
//     cudaMemset(x, 0, 4);                unchecked("cudaMemset") = cudaMemset(x, 0, 4);
//     __device__ int table[4] = {1};      GuardedVariable<int[4]> ... {.value = {1}}; int (&table)[4] = ...;
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gradamp {

/// A source with CUDA's syntax.
struct CudaSource {
  std::string path;  // for messages
  std::string text;
};

/// The names of the templates of kernels that a source declares: a launch of one without all template arguments deduces
/// them from the arguments.
std::set<std::string> kernel_templates(std::string_view text);

/// The source as C++. Error with "FILE:LINE: ..." if it uses what the emulator does not have.
std::string translate_cuda(const CudaSource& source, const std::set<std::string>& templates);

/// The files that the source includes by "...", in order, as they are written there.
std::vector<std::string> quoted_includes(std::string_view text);

}  // namespace gradamp
