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
#if defined(GRADAMP_ONLY_CAPABILITY)
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
  if (10 * major + minor != GRADAMP_ONLY_CAPABILITY) {
    std::printf("skipped: the GPU's compute capability is %d.%d, not %d.%d\n", major, minor,
                GRADAMP_ONLY_CAPABILITY / 10, GRADAMP_ONLY_CAPABILITY % 10);
    return kSkipped;
  }
#endif
  return RUN_ALL_TESTS();
}
