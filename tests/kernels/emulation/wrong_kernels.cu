// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/emulation/wrong_kernels.h"

#include "gradamp/kernels/cuda/ptx.h"

namespace gradamp::GRADAMP_GPU::wrong {
namespace {

constexpr unsigned kWholeWarp = 0xFFFFFFFFu;
constexpr int kThreads = 256;

// ---- barriers and warp operations ----

__global__ void two_barriers_kernel(float* output) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  output[threadIdx.x] = 1;
}

__global__ void collective_against_barrier_kernel(float* output) {
  if (threadIdx.x < 16) output[threadIdx.x] = __shfl_sync(kWholeWarp, 1.0f, 0);
  __syncthreads();
}

__global__ void uneven_barriers_kernel(float* output) {
  for (unsigned i = 0; i <= threadIdx.x / 32; ++i) __syncthreads();
  output[threadIdx.x] = 1;
}

__global__ void early_return_kernel(float* output, int count) {
  if (int(threadIdx.x) >= count) return;
  __syncthreads();
  output[threadIdx.x] = 1;
}

__global__ void early_return_of_lanes_kernel(float* output, int count) {
  if (int(threadIdx.x) >= count) return;
  output[threadIdx.x] = __shfl_xor_sync(kWholeWarp, 1.0f, 1);
}

__global__ void diverged_warp_kernel(float* output) {
  float value = 1;
  if (threadIdx.x % 2 == 1)
    value += __shfl_xor_sync(kWholeWarp, value, 2);
  else
    value += float(__ballot_sync(kWholeWarp, 1));
  output[threadIdx.x] = value;
}

__global__ void different_masks_kernel(float* output) {
  output[threadIdx.x] = __shfl_xor_sync(threadIdx.x < 16 ? 0x0001FFFFu : kWholeWarp, 1.0f, 1);
}

__global__ void lane_outside_its_mask_kernel(float* output) {
  output[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, 1.0f, 1);
}

__global__ void diverged_mma_kernel(float* output) {
  float d[1][1][4] = {};
  const std::uint32_t a[1][4] = {}, b[1][2] = {};
  if (threadIdx.x < 16)
    mma_tile_bf16(d, a, b);
  else
    mma_tile_bf16(d, a, b);
  output[threadIdx.x] = d[0][0][0];
}

__global__ void mma_kernel(float* output) {
  float d[1][1][4] = {};
  const std::uint32_t a[1][4] = {}, b[1][2] = {};
  mma_tile_bf16(d, a, b);
  output[threadIdx.x] = d[0][0][0];
}

// ---- memory ----

__global__ void static_shared_kernel(float* output, int shift) {
  SHARED(first, float[32]);
  SHARED(second, float[32]);
  second[threadIdx.x] = 0;
  __syncthreads();
  float* const values = first;  // through a pointer, so that the compiler does not see the bounds
  values[int(threadIdx.x) + shift] = 1;
  __syncthreads();
  output[threadIdx.x] = first[threadIdx.x] + second[threadIdx.x];
}

__global__ void dynamic_shared_kernel(float* output, int shift) {
  DYNAMIC_SHARED(float, values);
  values[int(threadIdx.x) + shift] = 1;
  __syncthreads();
  output[threadIdx.x] = 1;
}

__global__ void out_of_global_kernel(float* output, int shift) { output[int(threadIdx.x) + shift] = 1; }

__global__ void read_out_of_global_kernel(const float* input, float* output, int shift) {
  output[threadIdx.x] = input[int(threadIdx.x) + shift];
}

__global__ void misaligned_load_kernel(const float* input, float* output, int shift) {
  output[threadIdx.x] = load_vector<float4>(input + shift).x;
}

__global__ void misaligned_ldmatrix_kernel(float* output, int shift) {
  SHARED(values, float[8 * 4 + 4]);
  for (int i = threadIdx.x; i < 36; i += 32) values[i] = 1;
  __syncthreads();
  std::uint32_t registers[4];
  ldmatrix_x4(registers, values + threadIdx.x % 8 * 4 + (threadIdx.x == 3 ? shift : 0));
  output[threadIdx.x] = registers[0];
}

__global__ void misaligned_async_copy_kernel(const float* input, float* output, int shift) {
  SHARED(value, float4);
  if (threadIdx.x == 0) cp_async_16(&value, input + shift, true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  output[threadIdx.x] = value.x;
}

__global__ void async_copy_to_global_kernel(const float* input, float* output) {
  cp_async_16(output + 4 * threadIdx.x, input + 4 * threadIdx.x, true);
  cp_async_commit();
  cp_async_wait<0>();
}

#if defined(GRADAMP_EMULATION)  // nvcc refuses it
__global__ void too_much_static_shared_kernel(float* output) {
  SHARED(large, float[12 * 1024]);
  SHARED(one_more, float);
  if (threadIdx.x == 0) one_more = 1;
  large[threadIdx.x] = one_more;
  output[threadIdx.x] = large[threadIdx.x];
}
#endif

__global__ void too_deep_stack_kernel(float* output, int depth) {
  volatile char large[100000];
  for (int i = 0; i < 100000; i += 1000) large[i] = char(depth);
  output[threadIdx.x] = large[depth];
}

__global__ void null_pointer_kernel(float* output) { output[threadIdx.x] = 1; }

__global__ void unwritten_shared_kernel(float* output) {
  SHARED(values, float[32]);
  if (threadIdx.x % 2 == 1) values[threadIdx.x] = 0;
  values[threadIdx.x] += 1;
  output[threadIdx.x] = values[threadIdx.x];
}

__global__ void unwritten_dynamic_shared_kernel(float* output) {
  DYNAMIC_SHARED(float, values);
  output[threadIdx.x] = values[threadIdx.x];
}

template <bool kWaits>
__global__ void async_copy_kernel(const float* input, float* output) {
  SHARED(values, float[128]);
  cp_async_16(values + threadIdx.x * 4, input + threadIdx.x * 4, true);
  cp_async_commit();
  if (kWaits) cp_async_wait<0>();
  __syncthreads();
  for (int i = 0; i < 4; ++i) output[threadIdx.x * 4 + i] = values[127 - threadIdx.x * 4 - i];
}

__global__ void failure_amid_copies_kernel(const float* input, float* output) {
  SHARED(values, float[128]);
  cp_async_16(values + threadIdx.x * 4, input + threadIdx.x * 4, true);
  cp_async_commit();
  if (threadIdx.x < 16) __syncthreads();
  output[threadIdx.x] = values[threadIdx.x];
}

// ---- races ----

template <bool kSynchronized>
__global__ void reverse_kernel(const float* input, float* output) {
  SHARED(values, float[kThreads]);
  values[threadIdx.x] = input[threadIdx.x];
  if (kSynchronized) __syncthreads();
  output[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

template <bool kSynchronized>
__global__ void shift_kernel(const float* input, float* output) {
  SHARED(values, float[kThreads]);
  values[threadIdx.x] = input[threadIdx.x];
  if (kSynchronized) __syncthreads();
  output[threadIdx.x] = values[threadIdx.x > 0 ? threadIdx.x - 1 : 0];
}

template <bool kSynchronized>
__global__ void reverse_warps_kernel(const float* input, float* output) {
  SHARED(values, float[kThreads]);
  values[threadIdx.x] = input[threadIdx.x];
  if (kSynchronized) __syncwarp();
  output[threadIdx.x] = values[threadIdx.x ^ 31];
}

template <bool kSynchronized>
__global__ void reverse_pairs_kernel(const float* input, float* output) {
  SHARED(values, float[kThreads]);
  const int lane = threadIdx.x % 32;
  values[threadIdx.x] = input[threadIdx.x];
  __syncwarp(kSynchronized ? 3u << (lane & ~1) : 0x00010001u << lane % 16);
  __shfl_sync(kWholeWarp, 0, 0);  // all lanes have arrived, but this orders no memory accesses
  output[threadIdx.x] = values[threadIdx.x ^ 1];
}

template <bool kSynchronized>
__global__ void overwrite_kernel(const float* input, float* output) {
  SHARED(value, float);
  SHARED(readers, int);
  if (threadIdx.x == 0) {
    value = input[0];
    readers = 0;
  }
  __syncthreads();
  const float seen = value;
  if (kSynchronized) __syncthreads();
  if (atomicAdd(&readers, 1) == kThreads - 1) value = seen + 1;
  output[threadIdx.x] = seen;
}

template <bool kSynchronized>
__global__ void refill_kernel(const float* input, float* output) {
  SHARED(values, float[kThreads]);
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    values[threadIdx.x] = input[round * kThreads + threadIdx.x];
    __syncthreads();
    sum += values[(threadIdx.x + 32) % kThreads];
    if (kSynchronized) __syncthreads();
  }
  output[threadIdx.x] = sum;
}

template <bool kSynchronized>
__global__ void refill_async_kernel(const float* input, float* output) {
  SHARED(values, float[kThreads]);
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    if (threadIdx.x < kThreads / 4)
      cp_async_16(&values[threadIdx.x * 4], &input[round * kThreads + threadIdx.x * 4], true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    sum += values[(threadIdx.x + 32) % kThreads];
    if (kSynchronized) __syncthreads();
  }
  output[threadIdx.x] = sum;
}

template <bool kSynchronized>
__global__ void add_from_blocks_kernel(float* output) {
  if (threadIdx.x != 0) return;
  if (kSynchronized)
    atomicAdd(output, 1.0f);
  else
    *output += 1.0f;
}

template <Fences kFences>
__global__ void last_block_kernel(float* partial, unsigned* counter, float* output) {
  constexpr bool kOneBefore = kFences == Fences::kByOneThread || kFences == Fences::kOnlyBefore;
  constexpr bool kOneAfter = kFences == Fences::kByOneThread || kFences == Fences::kOnlyAfter;
  SHARED(is_last, bool);
  partial[blockIdx.x * blockDim.x + threadIdx.x] = threadIdx.x;
  if (kFences == Fences::kByAllThreads) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    if (kOneBefore) __threadfence();
    is_last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    if (kOneAfter) __threadfence();
  }
  __syncthreads();
  if (kFences == Fences::kByAllThreads) __threadfence();
  if (!is_last) return;
  float sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += partial[block * blockDim.x + threadIdx.x];
  output[threadIdx.x] = sum;
}

template <Barrier kBarrier, bool kAllFence>
__global__ void previous_block_kernel(float* partial, unsigned* counter, float* output) {
  const int here = blockIdx.x * blockDim.x + threadIdx.x;
  partial[here] = here;
  if (kAllFence) __threadfence();
  __shfl_sync(kWholeWarp, 0, 0);  // all lanes have arrived, but this orders no memory accesses
  if (kBarrier == Barrier::kOfWarp) __syncwarp();
  if (kBarrier == Barrier::kOfBlock || kBarrier == Barrier::kNoneAfter) __syncthreads();
  if (threadIdx.x == 0) {
    if (!kAllFence) __threadfence();
    atomicAdd(counter, 1u);
    if (!kAllFence) __threadfence();
  }
  __shfl_sync(kWholeWarp, 0, 0);
  if (kBarrier == Barrier::kOfWarp) __syncwarp();
  if (kBarrier == Barrier::kOfBlock || kBarrier == Barrier::kNoneBefore) __syncthreads();
  if (kAllFence) __threadfence();
  if (blockIdx.x > 0) output[here] = partial[here - blockDim.x];
}

__global__ void volatile_shared_kernel(float* output) {
  SHARED(value, float);
  volatile float* const flag = &value;
  *flag = 1;
  output[threadIdx.x] = *flag;
}

template <bool kSynchronized>
__global__ void reverse_vectors_kernel(const float* input, float* output) {
  SHARED(values, float4[kThreads / 4]);
  const int last = kThreads / 4 - 1;
  store_vector(&values[threadIdx.x], load_vector<float4>(input + 4 * threadIdx.x));
  if (kSynchronized) __syncthreads();
  store_vector(output + 4 * threadIdx.x, load_vector<float4>(&values[last - threadIdx.x]));
}

}  // namespace

void two_barriers(float* output) { launch(two_barriers_kernel, {1, 64}, output); }
void collective_against_barrier(float* output) { launch(collective_against_barrier_kernel, {1, 64}, output); }
void uneven_barriers(float* output) { launch(uneven_barriers_kernel, {1, 128}, output); }
void early_return(float* output, int count) { launch(early_return_kernel, {1, 64}, output, count); }
void early_return_of_lanes(float* output, int count) { launch(early_return_of_lanes_kernel, {1, 32}, output, count); }
void diverged_warp(float* output) { launch(diverged_warp_kernel, {1, 32}, output); }
void different_masks(float* output) { launch(different_masks_kernel, {1, 32}, output); }
void lane_outside_its_mask(float* output) { launch(lane_outside_its_mask_kernel, {1, 32}, output); }
void diverged_mma(float* output) { launch(diverged_mma_kernel, {1, 32}, output); }
void mma_of_half_a_warp(float* output) { launch(mma_kernel, {1, 16}, output); }

void out_of_static_shared(float* output, int shift) { launch(static_shared_kernel, {1, 32}, output, shift); }
void out_of_dynamic_shared(float* output, int shift) {
  launch(dynamic_shared_kernel, {1, 32, 32 * sizeof(float)}, output, shift);
}
void out_of_global(float* output, int shift) { launch(out_of_global_kernel, {1, 32}, output, shift); }
void read_out_of_global(const float* input, float* output, int shift) {
  launch(read_out_of_global_kernel, {1, 32}, input, output, shift);
}
void misaligned_load(const float* input, float* output, int shift) {
  launch(misaligned_load_kernel, {1, 32}, input, output, shift);
}
void misaligned_ldmatrix(float* output, int shift) { launch(misaligned_ldmatrix_kernel, {1, 32}, output, shift); }
void misaligned_async_copy(const float* input, float* output, int shift) {
  launch(misaligned_async_copy_kernel, {1, 32}, input, output, shift);
}
void async_copy_to_global(const float* input, float* output) {
  launch(async_copy_to_global_kernel, {1, 32}, input, output);
}
#if defined(GRADAMP_EMULATION)
void too_much_static_shared(float* output) { launch(too_much_static_shared_kernel, {1, 32}, output); }
#endif
void too_deep_stack(float* output, int depth) { launch(too_deep_stack_kernel, {1, 32}, output, depth); }
void null_pointer(float* output) { launch(null_pointer_kernel, {1, 32}, output); }
void unwritten_shared(float* output) { launch(unwritten_shared_kernel, {1, 32}, output); }
void unwritten_dynamic_shared(float* output) {
  launch(unwritten_dynamic_shared_kernel, {1, 32, 32 * sizeof(float)}, output);
}
void async_copy(bool waits, const float* input, float* output) {
  launch(waits ? async_copy_kernel<true> : async_copy_kernel<false>, {1, 32}, input, output);
}
void failure_amid_copies(const float* input, float* output) {
  launch(failure_amid_copies_kernel, {1, 32}, input, output);
}

void reverse(bool synchronized, const float* input, float* output) {
  launch(synchronized ? reverse_kernel<true> : reverse_kernel<false>, {1, kThreads}, input, output);
}
void shift(bool synchronized, const float* input, float* output) {
  launch(synchronized ? shift_kernel<true> : shift_kernel<false>, {1, kThreads}, input, output);
}
void reverse_warps(bool synchronized, const float* input, float* output) {
  launch(synchronized ? reverse_warps_kernel<true> : reverse_warps_kernel<false>, {1, kThreads}, input, output);
}
void reverse_pairs(bool synchronized, const float* input, float* output) {
  launch(synchronized ? reverse_pairs_kernel<true> : reverse_pairs_kernel<false>, {1, kThreads}, input, output);
}
void overwrite(bool synchronized, const float* input, float* output) {
  launch(synchronized ? overwrite_kernel<true> : overwrite_kernel<false>, {1, kThreads}, input, output);
}
void refill(bool synchronized, const float* input, float* output) {
  launch(synchronized ? refill_kernel<true> : refill_kernel<false>, {1, kThreads}, input, output);
}
void refill_async(bool synchronized, const float* input, float* output) {
  launch(synchronized ? refill_async_kernel<true> : refill_async_kernel<false>, {1, kThreads}, input, output);
}
void add_from_blocks(bool synchronized, float* output) {
  launch(synchronized ? add_from_blocks_kernel<true> : add_from_blocks_kernel<false>, {3, 32}, output);
}

void reverse_vectors(bool synchronized, const float* input, float* output) {
  launch(synchronized ? reverse_vectors_kernel<true> : reverse_vectors_kernel<false>, {1, kThreads / 4}, input, output);
}

void volatile_shared(float* output) { launch(volatile_shared_kernel, {1, 64}, output); }

template <bool kAllFence>
void launch_previous_block(Barrier barrier, float* partial, unsigned* counter, float* output) {
  const Launch shape(3, 32);
  switch (barrier) {
    case Barrier::kNoneBefore:
      launch(previous_block_kernel<Barrier::kNoneBefore, kAllFence>, shape, partial, counter, output);
      break;
    case Barrier::kNoneAfter:
      launch(previous_block_kernel<Barrier::kNoneAfter, kAllFence>, shape, partial, counter, output);
      break;
    case Barrier::kOfWarp:
      launch(previous_block_kernel<Barrier::kOfWarp, kAllFence>, shape, partial, counter, output);
      break;
    case Barrier::kOfBlock:
      launch(previous_block_kernel<Barrier::kOfBlock, kAllFence>, shape, partial, counter, output);
      break;
  }
}

void previous_block(Barrier barrier, bool all_fence, float* partial, unsigned* counter, float* output) {
  if (all_fence)
    launch_previous_block<true>(barrier, partial, counter, output);
  else
    launch_previous_block<false>(barrier, partial, counter, output);
}

void last_block(Fences fences, float* partial, unsigned* counter, float* output) {
  const Launch shape(3, 64);
  switch (fences) {
    case Fences::kNone: launch(last_block_kernel<Fences::kNone>, shape, partial, counter, output); break;
    case Fences::kOnlyBefore: launch(last_block_kernel<Fences::kOnlyBefore>, shape, partial, counter, output); break;
    case Fences::kOnlyAfter: launch(last_block_kernel<Fences::kOnlyAfter>, shape, partial, counter, output); break;
    case Fences::kByOneThread: launch(last_block_kernel<Fences::kByOneThread>, shape, partial, counter, output); break;
    case Fences::kByAllThreads:
      launch(last_block_kernel<Fences::kByAllThreads>, shape, partial, counter, output);
      break;
  }
}

}  // namespace gradamp::GRADAMP_GPU::wrong
