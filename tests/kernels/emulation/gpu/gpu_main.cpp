// SPDX-License-Identifier: MIT
#include <cstdio>

#include <gtest/gtest.h>

#include "gradamp/kernels/cuda/cuda.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  ::testing::InitGoogleTest(&argc, argv);
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: there is no GPU");
    return kSkipped;
  }
  return RUN_ALL_TESTS();
}
