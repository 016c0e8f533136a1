// SPDX-License-Identifier: MIT
// What the programs have in common.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <cuda_runtime.h>

#define CHECK(call)                                                                               \
  do {                                                                                            \
    const cudaError_t error_of_call = (call);                                                     \
    if (error_of_call != cudaSuccess) {                                                           \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cudaGetErrorString(error_of_call)); \
      std::exit(2);                                                                               \
    }                                                                                             \
  } while (0)

/// Ends the program with 3 unless the two are near each other.
inline void expect_near(double got, double expected, double tolerance, const char* what, int index) {
  if (std::fabs(got - expected) <= tolerance) return;
  std::fprintf(stderr, "%s[%d]: expected %.9g, got %.9g\n", what, index, expected, got);
  std::exit(3);
}
