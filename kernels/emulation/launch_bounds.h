// SPDX-License-Identifier: MIT
// __launch_bounds__(n), recorded in the program so that a launch of more than n threads is refused, as by CUDA.
#pragma once

// With GCC on x86-64, a kernel with the keyword has one one-byte NOP before its entry per 32 threads that it allows.
// GCC lists the addresses of these NOPs in a separate section, and launch_bounds.cpp counts them. (Clang's attribute
// does not accept expressions with template parameters. With Clang the keyword does nothing; only the tests' stand-in
// for NVIDIA's runtime, which reads nvcc's binaries, knows the bounds.)
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define GRADAMP_KNOWS_LAUNCH_BOUNDS 1
#define __launch_bounds__(threads, ...) \
  __attribute__((patchable_function_entry(((threads) + 31) / 32, ((threads) + 31) / 32)))
#else
#define GRADAMP_KNOWS_LAUNCH_BOUNDS 0
#define __launch_bounds__(...)
#endif

namespace gradamp::emulation {

/// The number of threads that the kernel's __launch_bounds__ allows, rounded up to whole warps; 0 if it has none or
/// they are unknown.
unsigned launch_bounds_of(const void* kernel);

}  // namespace gradamp::emulation
