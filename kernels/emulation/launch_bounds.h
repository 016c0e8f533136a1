// SPDX-License-Identifier: MIT
// __launch_bounds__(n), kept in the program so that a launch of more than n threads can be refused as CUDA refuses it.
#pragma once

// With GCC on x86-64, a kernel with the keyword has one one-byte NOP before its first instruction per 32 threads that
// it allows. GCC lists where these NOPs begin in a section of its own, and launch_bounds.cpp counts them. (Clang's
// attribute does not take what depends on template parameters. There the keyword says nothing, and only the tests'
// stand-in for NVIDIA's runtime, which reads nvcc's binaries, knows the bounds.)
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define GRADAMP_KNOWS_LAUNCH_BOUNDS 1
#define __launch_bounds__(threads, ...) \
  __attribute__((patchable_function_entry(((threads) + 31) / 32, ((threads) + 31) / 32)))
#else
#define GRADAMP_KNOWS_LAUNCH_BOUNDS 0
#define __launch_bounds__(...)
#endif

namespace gradamp::emulation {

/// How many threads the kernel's __launch_bounds__ allows, rounded up to whole warps; 0 if it has none or they are not
/// known.
unsigned launch_bounds_of(const void* kernel);

}  // namespace gradamp::emulation
