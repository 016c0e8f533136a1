// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/emulation/intrinsics_kernels.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr unsigned kWholeWarp = 0xFFFFFFFFu;

__global__ void places_kernel(ThreadPosition* positions) {
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int block_threads = blockDim.x * blockDim.y * blockDim.z;
  ThreadPosition& position = positions[block * block_threads + thread];
  position = {{int(threadIdx.x), int(threadIdx.y), int(threadIdx.z)},
              {int(blockIdx.x), int(blockIdx.y), int(blockIdx.z)},
              {int(blockDim.x), int(blockDim.y), int(blockDim.z)},
              {int(gridDim.x), int(gridDim.y), int(gridDim.z)}};
}

__global__ void mirror_kernel(int rounds, int* output) {
  SHARED(values, int[1024]);
  int sum = 0;
  for (int round = 0; round < rounds; ++round) {
    values[threadIdx.x] = threadIdx.x;
    __syncthreads();
    sum += values[blockDim.x - 1 - threadIdx.x];
    __syncthreads();
  }
  output[threadIdx.x] = sum;
}

__global__ void block_votes_kernel(int rounds, const int* limits, int* counts, int* ors, int* ands) {
  for (int round = 0; round < rounds; ++round) {
    const bool yes = int(threadIdx.x) < limits[round];
    const int at = round * blockDim.x + threadIdx.x;
    counts[at] = __syncthreads_count(yes);
    ors[at] = __syncthreads_or(yes) != 0;
    ands[at] = __syncthreads_and(yes) != 0;
  }
}

template <typename T>
__global__ void shuffle_kernel(ShuffleWord word, int argument, int width, T* output) {
  const T value = static_cast<T>(100 + threadIdx.x);
  T result{};
  if (word == ShuffleWord::kIndex) result = __shfl_sync(kWholeWarp, value, argument, width);
  if (word == ShuffleWord::kXor) result = __shfl_xor_sync(kWholeWarp, value, argument, width);
  if (word == ShuffleWord::kUp) result = __shfl_up_sync(kWholeWarp, value, argument, width);
  if (word == ShuffleWord::kDown) result = __shfl_down_sync(kWholeWarp, value, argument, width);
  output[threadIdx.x] = result;
}

__global__ void half_shuffles_kernel(int* output) {
  int value = threadIdx.x;
  if (threadIdx.x < 16) {
    for (int bits = 8; bits > 0; bits /= 2) value += __shfl_xor_sync(0x0000FFFFu, value, bits);
  } else {
    value = __shfl_sync(0xFFFF0000u, value, 31);
  }
  output[threadIdx.x] = value;
}

__global__ void votes_kernel(std::uint32_t predicates, std::uint32_t* ballots, int* anys, int* alls) {
  const bool yes = predicates >> threadIdx.x & 1;
  ballots[threadIdx.x] = __ballot_sync(kWholeWarp, yes);
  anys[threadIdx.x] = __any_sync(kWholeWarp, yes) != 0;
  alls[threadIdx.x] = __all_sync(kWholeWarp, yes) != 0;
}

__global__ void masked_ballots_kernel(std::uint32_t* ballots) {
  const bool yes = threadIdx.x % 2 == 0;
  if (threadIdx.x < 10)
    ballots[threadIdx.x] = __ballot_sync(0x000003FFu, yes);
  else
    ballots[threadIdx.x] = __ballot_sync(0xFFFFFC00u, yes);
}

__global__ void warp_scan_kernel(int* output) {
  SHARED(sums, int[32]);
  const int lane = threadIdx.x;
  sums[lane] = lane;
  for (int distance = 1; distance < 32; distance *= 2) {
    __syncwarp();
    const int before = lane >= distance ? sums[lane - distance] : 0;
    __syncwarp();
    sums[lane] += before;
  }
  output[lane] = sums[lane];
}

__global__ void atomics_kernel(AtomicResults* results, unsigned* old_add, unsigned* old_exchange) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const auto u = static_cast<unsigned>(i);
  atomicAdd(&results->add_int, -i);
  atomicSub(&results->sub_int, i);
  atomicMin(&results->min_int, 100 - i);
  atomicMax(&results->max_int, i - 100);
  old_add[i] = atomicAdd(&results->add_unsigned, 1u);
  atomicOr(&results->or_unsigned, u);
  atomicAnd(&results->and_unsigned, ~u);
  atomicXor(&results->xor_unsigned, 1u << i % 32);
  atomicInc(&results->inc_unsigned, 99u);
  old_exchange[i] = atomicExch(&results->exchange_unsigned, u);
  unsigned expected = 0;
  while (true) {
    const unsigned found = atomicCAS(&results->cas_unsigned, expected, expected + 3);
    if (found == expected) break;
    expected = found;
  }
  atomicAdd(&results->add_long, 1ull << 32);
  atomicMax(&results->max_long, static_cast<unsigned long long>(i) << 40);
  atomicAdd(&results->add_float, 0.5f);
  atomicAdd(&results->add_double, 0.25);
}

template <typename V>
__global__ void vector_copy_kernel(bool streaming, const std::byte* source, std::byte* target, int bytes) {
  for (int i = threadIdx.x * sizeof(V); i < bytes; i += blockDim.x * sizeof(V)) {
    if (streaming)
      store_vector_streaming(target + i, load_vector_streaming<V>(source + i));
    else
      store_vector(target + i, load_vector<V>(source + i));
  }
}

__global__ void math_kernel(float value, float other, int bits, MathResults* result) {
  const auto word = static_cast<unsigned>(bits);
  result->popc = __popc(word);
  result->clz = __clz(bits);
  result->ffs = __ffs(bits);
  result->mulhi = __mulhi(bits, 12345);
  result->umulhi = __umulhi(word, 12345u);
  result->float_bits = __float_as_int(value);
  result->back_from_bits = __uint_as_float(__float_as_uint(value));
  result->rsqrt = rsqrtf(fabsf(value));
  result->exp = std::exp(value);
  result->exp_fast = __expf(value);
  result->erfc = std::erfc(value);
  result->fma = __fmaf_rn(value, other, value);
  result->reciprocal = __frcp_rn(value);
  result->product = __fmul_rn(value, other);
  result->smaller = min(value, other);
  result->larger = max(value, other);
  result->is_finite = isfinite(value);
  result->is_nan = isnan(value);
  result->smaller_int = min(bits, 7);
  result->larger_int = max(bits, 7);
}

__global__ void last_block_sum_kernel(int* partial, unsigned* counter, int* output) {
  SHARED(is_last, bool);
  partial[blockIdx.x * blockDim.x + threadIdx.x] = blockIdx.x * blockDim.x + threadIdx.x;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    is_last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!is_last || threadIdx.x != 0) return;
  int sum = 0;
  for (unsigned i = 0; i < gridDim.x * blockDim.x; ++i) sum += partial[i];
  *output = sum;
}

}  // namespace

void run_thread_positions(dim3 grid, dim3 block, ThreadPosition* positions) {
  launch(places_kernel, {grid, block}, positions);
}

void run_mirror(int threads, int rounds, int* output) { launch(mirror_kernel, {1, dim3(threads)}, rounds, output); }

void run_block_votes(int threads, int rounds, const int* limits, int* counts, int* ors, int* ands) {
  launch(block_votes_kernel, {1, dim3(threads)}, rounds, limits, counts, ors, ands);
}

template <typename T>
void run_shuffle(ShuffleWord word, int argument, int width, T* output) {
  launch(shuffle_kernel<T>, {1, 32}, word, argument, width, output);
}
template void run_shuffle(ShuffleWord, int, int, int*);
template void run_shuffle(ShuffleWord, int, int, float*);
template void run_shuffle(ShuffleWord, int, int, double*);
template void run_shuffle(ShuffleWord, int, int, long long*);

void run_half_shuffles(int* output) { launch(half_shuffles_kernel, {1, 32}, output); }

void run_votes(std::uint32_t predicates, std::uint32_t* ballots, int* anys, int* alls) {
  launch(votes_kernel, {1, 32}, predicates, ballots, anys, alls);
}

void run_masked_ballots(std::uint32_t* ballots) { launch(masked_ballots_kernel, {1, 32}, ballots); }

void run_warp_scan(int* output) { launch(warp_scan_kernel, {1, 32}, output); }

void run_atomics(AtomicResults* results, unsigned* old_add, unsigned* old_exchange) {
  launch(atomics_kernel, {4, 64}, results, old_add, old_exchange);
}

void run_vector_copy(int bytes_at_once, bool streaming, const std::byte* source, std::byte* target, int bytes) {
  if (bytes_at_once == 4) launch(vector_copy_kernel<float>, {1, 32}, streaming, source, target, bytes);
  if (bytes_at_once == 8) launch(vector_copy_kernel<float2>, {1, 32}, streaming, source, target, bytes);
  if (bytes_at_once == 16) launch(vector_copy_kernel<uint4>, {1, 32}, streaming, source, target, bytes);
}

void run_math(float value, float other, int bits, MathResults* result) {
  launch(math_kernel, {1, 1}, value, other, bits, result);
}

void run_last_block_sum(int blocks, int* partial, unsigned* counter, int* output) {
  launch(last_block_sum_kernel, {dim3(blocks), 64}, partial, counter, output);
}

}  // namespace gradamp::GRADAMP_GPU
