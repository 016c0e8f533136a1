// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/devices.h"

namespace gradamp::stand_in {
namespace {

constexpr int kDriver = 13000;

// Shared memory, threads and blocks per multiprocessor: CUDA C++ Programming Guide, "Technical Specifications per
// Compute Capability" (7.5: 64 KiB; 8.0: 163 of 164; 8.6, 8.9, 12.0: 99 of 100; 9.0, 10.0: 227 of 228).
// Multiprocessors, second-level cache and memory: NVIDIA's architecture papers and data sheets
//   T4         Turing TU104 paper: 40, 4 MB, 16 GB (15 usable)
//   A100       "NVIDIA A100 Tensor Core GPU Architecture": 108, 40 MB, 80 GB
//   RTX 3090   "NVIDIA Ampere GA102 GPU Architecture": 82, 6 MB, 24 GB
//   RTX 4090   "NVIDIA Ada GPU Architecture": 128, 72 MB, 24 GB
//   H100 SXM   "NVIDIA H100 Tensor Core GPU Architecture": 132, 50 MB, 80 GB; H200 the same chip with 141 GB
//   B200       "NVIDIA Blackwell Architecture Technical Brief": 148, 126 MB, 180 GB
//   RTX 5090   "NVIDIA RTX Blackwell GPU Architecture": 170, 96 MB, 32 GB
constexpr DeviceProfile kProfiles[] = {
    {"T4", "Tesla T4", 7, 5, 40, 64, 64, 1024, 16, 4, 15, kDriver},
    {"A100", "NVIDIA A100-SXM4-80GB", 8, 0, 108, 163, 164, 2048, 32, 40, 80, kDriver},
    {"RTX3090", "NVIDIA GeForce RTX 3090", 8, 6, 82, 99, 100, 1536, 16, 6, 24, kDriver},
    {"RTX4090", "NVIDIA GeForce RTX 4090", 8, 9, 128, 99, 100, 1536, 24, 72, 24, kDriver},
    {"H100", "NVIDIA H100 80GB HBM3", 9, 0, 132, 227, 228, 2048, 32, 50, 80, kDriver},
    {"H200", "NVIDIA H200", 9, 0, 132, 227, 228, 2048, 32, 50, 141, kDriver},
    {"B200", "NVIDIA B200", 10, 0, 148, 227, 228, 2048, 32, 126, 180, kDriver},
    {"RTX5090", "NVIDIA GeForce RTX 5090", 12, 0, 170, 99, 100, 1536, 24, 96, 32, kDriver},
    {"old-driver", "NVIDIA H100 80GB HBM3", 9, 0, 132, 227, 228, 2048, 32, 50, 80, 12020},
    {"no-driver", "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"no-device", "", 0, 0, 0, 0, 0, 0, 0, 0, 0, kDriver},
};

}  // namespace

std::span<const DeviceProfile> device_profiles() { return kProfiles; }

}  // namespace gradamp::stand_in
