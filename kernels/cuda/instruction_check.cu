// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/instruction_check.h"

#include "gradamp/kernels/cuda/ptx.h"

namespace gradamp::GRADAMP_GPU {
namespace {

// ---- mma ----

/// As 32-bit words the fragments of both types have the same layout: a register holds word `member` or `member` + 4 of
/// row `group` or `group` + 8.
template <Precision kPrecision>
__global__ void mma_kernel(const std::uint32_t* a, const std::uint32_t* b, float* d) {
  constexpr int MT = kMmaRows / 16, NT = kMmaColumns / 8;
  const int group = static_cast<int>(threadIdx.x) / 4, member = static_cast<int>(threadIdx.x) % 4;
  std::uint32_t fragments_a[MT][4], fragments_b[NT][2];
  float sums[MT][NT][4];
#pragma unroll
  for (int i = 0; i < MT; ++i) {
#pragma unroll
    for (int r = 0; r < 4; ++r) fragments_a[i][r] = a[(16 * i + group + r % 2 * 8) * kMmaWords + member + r / 2 * 4];
  }
#pragma unroll
  for (int j = 0; j < NT; ++j) {
#pragma unroll
    for (int r = 0; r < 2; ++r) fragments_b[j][r] = b[(8 * j + group) * kMmaWords + member + r * 4];
  }
  const auto sum_of = [&](int i, int j, int e) -> float& {
    return d[(16 * i + group + e / 2 * 8) * kMmaColumns + 8 * j + 2 * member + e % 2];
  };
#pragma unroll
  for (int i = 0; i < MT; ++i) {
#pragma unroll
    for (int j = 0; j < NT; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[i][j][e] = sum_of(i, j, e);
    }
  }
  if constexpr (kPrecision == Precision::kBF16) {
    mma_tile_bf16(sums, fragments_a, fragments_b);
  } else {
    mma_tile_tf32(sums, fragments_a, fragments_b);
  }
#pragma unroll
  for (int i = 0; i < MT; ++i) {
#pragma unroll
    for (int j = 0; j < NT; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum_of(i, j, e) = sums[i][j][e];
    }
  }
}

__global__ void to_tf32_kernel(int count, const float* values, std::uint32_t* results) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    results[i] = to_tf32(values[i]);
}

// ---- ldmatrix ----

template <bool kTransposed>
__global__ void ldmatrix_kernel(const std::uint16_t* rows, std::uint32_t* registers) {
  SHARED(shared, std::uint16_t[32][24]);  // 48 bytes per row: gaps between rows
  const int lane = static_cast<int>(threadIdx.x);
  std::uint16_t* const row = shared[(5 * lane + 3) % 32];
  for (int column = 0; column < 8; ++column) row[column] = rows[lane * 8 + column];
  __syncwarp();
  std::uint32_t loaded[4];
  if constexpr (kTransposed) {
    ldmatrix_x4_trans(loaded, row);
  } else {
    ldmatrix_x4(loaded, row);
  }
#pragma unroll
  for (int matrix = 0; matrix < 4; ++matrix) registers[lane * 4 + matrix] = loaded[matrix];
}

// ---- cp.async ----

__global__ void async_copy_kernel(const std::uint32_t* source, std::uint32_t* seen) {
  SHARED(arrived, std::uint32_t[kCopyGroups][kCopyThreads][4]);
  const int thread = static_cast<int>(threadIdx.x);
  for (int group = 0; group < kCopyGroups; ++group) {
    for (int word = 0; word < 4; ++word) arrived[group][thread][word] = 0xDEADBEEFu;
  }
  __syncthreads();  // these stores come before the copies
  for (int group = 0; group < kCopyGroups; ++group) {
    const bool reads = copy_reads(group, thread);
    // If nothing is read, the address may be anything.
    const void* const from =
        reads ? source + (group * kCopyThreads + thread) * 4 : reinterpret_cast<const std::uint32_t*>(16);
    cp_async_16(arrived[group][thread], from, reads);
    cp_async_commit();
  }
  const auto read = [&](int group) {
    __syncthreads();  // the other threads have waited for their copies
    for (int word = 0; word < 4; ++word)
      seen[(group * kCopyThreads + thread) * 4 + word] = arrived[group][kCopyThreads - 1 - thread][word];
  };
  static_assert(kCopyGroups == 3);
  cp_async_wait<2>();
  read(0);
  cp_async_wait<1>();
  read(1);
  cp_async_wait<0>();
  read(2);
}

}  // namespace

void launch_mma(cudaStream_t stream, Precision precision, const std::uint32_t* a, const std::uint32_t* b, float* d) {
  launch(precision == Precision::kBF16 ? mma_kernel<Precision::kBF16> : mma_kernel<Precision::kTF32>,
         {1, 32, 0, stream}, a, b, d);
}

void launch_to_tf32(cudaStream_t stream, int count, const float* values, std::uint32_t* results) {
  launch(to_tf32_kernel, {1, 32, 0, stream}, count, values, results);
}

void launch_ldmatrix(cudaStream_t stream, bool transposed, const std::uint16_t* rows, std::uint32_t* registers) {
  launch(transposed ? ldmatrix_kernel<true> : ldmatrix_kernel<false>, {1, 32, 0, stream}, rows, registers);
}

void launch_async_copy(cudaStream_t stream, const std::uint32_t* source, std::uint32_t* seen) {
  launch(async_copy_kernel, {1, kCopyThreads, 0, stream}, source, seen);
}

}  // namespace gradamp::GRADAMP_GPU
