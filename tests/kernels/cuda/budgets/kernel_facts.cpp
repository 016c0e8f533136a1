// SPDX-License-Identifier: MIT
// Two facts that budgets.py needs and that no compiler reports.
//
//   kernel_facts shared_memory     prints the dynamic shared memory of each convolution kernel: "NAME BYTES" per line
//   kernel_facts resident_blocks   reads lines "ARCHITECTURE THREADS REGISTERS STATIC DYNAMIC" and prints for each the
//                                  number of such blocks per multiprocessor, by NVIDIA's occupancy calculator
#include <cuda_occupancy.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/hopper_tile.h"

namespace {

using namespace gradamp;
using namespace gradamp::emulated;

/// kAll: its epilogue stages all sums at once.
template <Precision kPrecision, typename Block, Major kMajorA, Major kMajorB, typename Out, bool kAll = false>
void print_shared_memory(const char* direction, const char* precision) {
  using Product = BlockProduct<kPrecision, Block, kMajorA, kMajorB>;
  std::printf("convolution %s %s %dx%d %zu\n", direction, precision, Block::kM, Block::kN,
              kAll ? Product::template kSharedBytesForAll<Out> : Product::template kSharedBytes<Out>);
}

template <Precision kPrecision, typename Block>
void print_over_pixels(const char* precision) {
  using T = Element<kPrecision>;
  print_shared_memory<kPrecision, Block, Major::kK, Major::kK, T>("forward", precision);
  print_shared_memory<kPrecision, Block, Major::kK, Major::kMN, T, true>("backward input", precision);
}

template <Precision kPrecision>
void print_shared_memory_of_all(const char* precision) {
  print_over_pixels<kPrecision, BlockTile<128, 32, 4>>(precision);
  print_over_pixels<kPrecision, BlockTile<128, 64, 2>>(precision);
  print_shared_memory<kPrecision, BlockTile<64, 128, 1>, Major::kMN, Major::kMN, float>("backward filter", precision);
  if constexpr (kPrecision != Precision::kF32) {
    print_over_pixels<kPrecision, BlockTile<128, 128, 2>>(precision);
    print_shared_memory<kPrecision, BlockTile<128, 128, 2>, Major::kMN, Major::kMN, float>("backward filter",
                                                                                           precision);
  }
}

template <typename Block, Major kMajorA, Major kMajorB>
void print_shared_memory_of_hopper(const char* direction) {
  std::printf("convolution %s hopper %dx%d %zu\n", direction, Block::kM, Block::kN,
              HopperProduct<Block, kMajorA, kMajorB>::kSharedBytes);
}

/// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": 2048 threads and 65536 registers per
/// multiprocessor for 8.0 and 9.0; shared memory of 164 KB (8.0) and 228 KB (9.0), of which a block can have all but
/// 1 KB. The calculator itself knows blocks per multiprocessor and the units of allocation.
cudaOccDeviceProp device_of(int architecture) {
  cudaOccDeviceProp device;
  device.computeMajor = architecture / 10;
  device.computeMinor = architecture % 10;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = 2048;
  device.regsPerBlock = device.regsPerMultiprocessor = 65536;
  device.warpSize = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerMultiprocessor = architecture == 80 ? 164 << 10 : 228 << 10;
  device.sharedMemPerBlockOptin = device.sharedMemPerMultiprocessor - 1024;
  device.reservedSharedMemPerBlock = 1024;
  device.numSms = 1;  // does not affect the blocks per multiprocessor
  return device;
}

/// The members that the calculator copies from a kernel's attributes.
struct KernelAttributes {
  int maxThreadsPerBlock, numRegs;
  std::size_t sharedSizeBytes, maxDynamicSharedSizeBytes;
};

/// The number of the kernel's blocks per multiprocessor, or -1 if the calculator refuses.
int resident_blocks_of(int architecture, const KernelAttributes& kernel) {
  if (architecture != 80 && architecture != 90) return -1;
  const cudaOccDeviceProp device = device_of(architecture);
  const cudaOccFuncAttributes attributes(kernel);
  const cudaOccDeviceState state;
  cudaOccResult result;
  const cudaOccError error = cudaOccMaxActiveBlocksPerMultiprocessor(
      &result, &device, &attributes, &state, kernel.maxThreadsPerBlock, kernel.maxDynamicSharedSizeBytes);
  return error == CUDA_OCC_SUCCESS ? result.activeBlocksPerMultiprocessor : -1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc == 2 ? argv[1] : "";
  if (command == "shared_memory") {
    print_shared_memory_of_hopper<HopperTile<128, 64>, Major::kK, Major::kK>("forward");
    print_shared_memory_of_hopper<HopperTile<128, 128>, Major::kK, Major::kK>("forward");
    print_shared_memory_of_hopper<HopperTile<128, 64>, Major::kK, Major::kMN>("backward input");
    print_shared_memory_of_hopper<HopperTile<128, 128>, Major::kK, Major::kMN>("backward input");
    print_shared_memory_of_hopper<HopperTile<64, 128>, Major::kMN, Major::kMN>("backward filter");
    print_shared_memory_of_hopper<HopperTile<128, 128>, Major::kMN, Major::kMN>("backward filter");
    print_shared_memory_of_all<Precision::kF32>("f32");
    print_shared_memory_of_all<Precision::kTF32>("tf32");
    print_shared_memory_of_all<Precision::kBF16>("bf16");
    return 0;
  }
  if (command == "resident_blocks") {
    int architecture;
    KernelAttributes kernel;
    while (std::cin >> architecture >> kernel.maxThreadsPerBlock >> kernel.numRegs >> kernel.sharedSizeBytes >>
           kernel.maxDynamicSharedSizeBytes)
      std::printf("%d\n", resident_blocks_of(architecture, kernel));
    return 0;
  }
  std::fprintf(stderr, "kernel_facts: expected shared_memory or resident_blocks\n");
  return 2;
}
