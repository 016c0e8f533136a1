// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/emulation/tensor_core_kernels.h"

#include "gradamp/kernels/cuda/ptx.h"

namespace gradamp::GRADAMP_GPU {
namespace {

template <MmaOperands kOperands, int MT, int NT>
__global__ void mma_kernel(const std::uint32_t* all_a, const std::uint32_t* all_b, float* all_d) {
  std::uint32_t a[MT][4], b[NT][2];
  float d[MT][NT][4];
  for (int i = 0; i < MT * 4; ++i) a[i / 4][i % 4] = all_a[threadIdx.x * MT * 4 + i];
  for (int i = 0; i < NT * 2; ++i) b[i / 2][i % 2] = all_b[threadIdx.x * NT * 2 + i];
  for (int i = 0; i < MT * NT * 4; ++i) d[i / 4 / NT][i / 4 % NT][i % 4] = all_d[threadIdx.x * MT * NT * 4 + i];
  if constexpr (kOperands == MmaOperands::kBF16)
    mma_tile_bf16(d, a, b);
  else
    mma_tile_tf32(d, a, b);
  for (int i = 0; i < MT * NT * 4; ++i) all_d[threadIdx.x * MT * NT * 4 + i] = d[i / 4 / NT][i / 4 % NT][i % 4];
}

template <int MT, int NT>
void launch_mma(MmaOperands operands, const std::uint32_t* a, const std::uint32_t* b, float* d) {
  launch(
      operands == MmaOperands::kBF16 ? mma_kernel<MmaOperands::kBF16, MT, NT> : mma_kernel<MmaOperands::kTF32, MT, NT>,
      {1, 32}, a, b, d);
}

template <bool kTransposed>
__global__ void ldmatrix_kernel(const std::uint16_t* values, int count, const int* offsets, std::uint32_t* all) {
  DYNAMIC_SHARED(std::uint16_t, shared);
  for (int i = threadIdx.x; i < count; i += 32) shared[i] = values[i];
  __syncthreads();
  const void* row = reinterpret_cast<const char*>(shared) + offsets[threadIdx.x];
  std::uint32_t registers[4];
  if constexpr (kTransposed)
    ldmatrix_x4_trans(registers, row);
  else
    ldmatrix_x4(registers, row);
  for (int i = 0; i < 4; ++i) all[threadIdx.x * 4 + i] = registers[i];
}

__global__ void to_tf32_kernel(const float* values, int count, std::uint32_t* results) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) results[i] = to_tf32(values[i]);
}

__global__ void async_copies_kernel(const float* source, const bool* valid, int count, float* target) {
  constexpr int kFloats = 128;
  SHARED(stages, float[2][kFloats]);
  const auto begin = [&](int group) {
    for (int i = threadIdx.x * 4; i < kFloats; i += blockDim.x * 4) {
      // If the copy is not valid, it reads nothing, so the address may be anything.
      const float* from = valid[group] ? source + group * kFloats + i : reinterpret_cast<const float*>(16);
      cp_async_16(&stages[group % 2][i], from, valid[group]);
    }
    cp_async_commit();
  };
  begin(0);
  for (int group = 0; group < count; ++group) {
    if (group + 1 < count) {
      begin(group + 1);
      cp_async_wait<1>();
    } else {
      cp_async_wait<0>();
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kFloats; i += blockDim.x)
      target[group * kFloats + i] = stages[group % 2][kFloats - 1 - i];
    __syncthreads();  // the next copies overwrite the values just read
  }
}

template <int kGroups>
__global__ void async_groups_kernel(const float* source, float* seen) {
  SHARED(values, float4[3][32]);
  for (int group = 0; group < 3; ++group) {
    values[group][threadIdx.x] = make_float4(0, 0, 0, 0);
    cp_async_16(&values[group][threadIdx.x], source + 4 * (32 * group + threadIdx.x), true);
    cp_async_commit();
  }
  cp_async_wait<kGroups>();
  for (int group = 0; group < 3; ++group) seen[32 * group + threadIdx.x] = values[group][threadIdx.x].y;
  cp_async_wait<0>();
}

}  // namespace

void run_mma(MmaOperands operands, int row_tiles, int column_tiles, const std::uint32_t* a, const std::uint32_t* b,
             float* d) {
  if (row_tiles == 1 && column_tiles == 1) launch_mma<1, 1>(operands, a, b, d);
  if (row_tiles == 2 && column_tiles == 4) launch_mma<2, 4>(operands, a, b, d);
  if (row_tiles == 3 && column_tiles == 5) launch_mma<3, 5>(operands, a, b, d);
  if (row_tiles == 4 && column_tiles == 8) launch_mma<4, 8>(operands, a, b, d);
}

void run_ldmatrix(bool transposed, const std::uint16_t* values, int count, const int* offsets,
                  std::uint32_t* registers) {
  launch(transposed ? ldmatrix_kernel<true> : ldmatrix_kernel<false>, {1, 32, count * sizeof(std::uint16_t)}, values,
         count, offsets, registers);
}

void run_to_tf32(const float* values, int count, std::uint32_t* results) {
  launch(to_tf32_kernel, {1, 64}, values, count, results);
}

void run_async_copies(const float* source, const bool* valid, int count, float* target) {
  launch(async_copies_kernel, {1, 96}, source, valid, count, target);
}

void run_async_groups(int groups, const float* source, float* seen) {
  if (groups == 0) launch(async_groups_kernel<0>, {1, 32}, source, seen);
  if (groups == 1) launch(async_groups_kernel<1>, {1, 32}, source, seen);
  if (groups == 2) launch(async_groups_kernel<2>, {1, 32}, source, seen);
}

}  // namespace gradamp::GRADAMP_GPU
