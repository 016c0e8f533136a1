// SPDX-License-Identifier: MIT
// Launches of kernels that each execute one wrapper of kernels/cuda/ptx.h, for the self-check. Inputs and outputs are
// plain matrices in device memory; between memory and the wrapper, the kernels use the layouts that ptx.h documents.
#pragma once

#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

// ---- mma ----

/// The product that launch_mma computes: MT x NT tiles of 16 x 8 by one warp.
inline constexpr int kMmaRows = 32, kMmaColumns = 32;
/// Number of 32-bit words per row of a: 16 bf16 or 8 tf32 values.
inline constexpr int kMmaWords = 8;
/// d += a b^T with a (kMmaRows, kMmaWords) and b (kMmaColumns, kMmaWords) as words, and d f32 (kMmaRows, kMmaColumns).
/// Precision::kBF16: a word has two neighbors in k, the first in its low half. Precision::kTF32: a word is an f32.
void launch_mma(cudaStream_t stream, Precision precision, const std::uint32_t* a, const std::uint32_t* b, float* d);

/// results[i] = to_tf32(values[i]).
void launch_to_tf32(cudaStream_t stream, int count, const float* values, std::uint32_t* results);

// ---- ldmatrix ----

/// Copies rows (32, 8) of 16-bit values to shared memory, with gaps and in another order, and loads them as four
/// matrices of 8 x 8 by ldmatrix: registers (32 lanes, 4 matrices).
void launch_ldmatrix(cudaStream_t stream, bool transposed, const std::uint16_t* rows, std::uint32_t* registers);

// ---- cp.async ----

inline constexpr int kCopyThreads = 128, kCopyGroups = 3;
/// Whether a thread's copy of a group reads memory; if not, it must store zeros.
__host__ __device__ constexpr bool copy_reads(int group, int thread) { return (thread + group) % 3 != 0; }
/// Every thread copies 16 bytes of each group to shared memory and reads the result of another thread's copy: seen
/// (kCopyGroups, kCopyThreads, 4 words) is source, of the same shape, with the threads in reverse order.
void launch_async_copy(cudaStream_t stream, const std::uint32_t* source, std::uint32_t* seen);

}  // namespace gradamp::GRADAMP_GPU
