// SPDX-License-Identifier: MIT
// Copies a range of channels: the parts of a concatenation.
#include "gradamp/kernels/cuda/channel_copy.h"

#include <numeric>

#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/divisor.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;

/// One thread copies N adjacent channels; `row_threads` divides by the number of threads per row.
template <int N, typename T>
__global__ void __launch_bounds__(kThreads) channel_copy_kernel(int threads, Divisor row_threads, const T* from,
                                                                ChannelRange from_range, T* to, ChannelRange to_range) {
  const unsigned thread = blockIdx.x * kThreads + threadIdx.x;
  if (thread >= static_cast<unsigned>(threads)) return;
  const auto [row, part] = row_threads.divide(static_cast<int>(thread));
  from += std::int64_t{row} * from_range.stride + from_range.first + part * N;
  to += std::int64_t{row} * to_range.stride + to_range.first + part * N;
  if constexpr (N == 1) {
    *to = *from;
  } else {
    store_vector(to, load_packed<N>(from));
  }
}

}  // namespace

void launch_channel_copy(cudaStream_t stream, DType type, int rows, int channels, const void* from,
                         const ChannelRange& from_range, void* to, const ChannelRange& to_range) {
  // Vectors must divide the range and begin at a multiple of 16 bytes in every row of both tensors.
  int common = std::gcd(std::gcd(channels, std::gcd(from_range.stride, from_range.first)),
                        std::gcd(to_range.stride, to_range.first));
  if (!is_vector_aligned(from) || !is_vector_aligned(to)) common = 1;
  with_vectors(type, common, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const int threads = rows * (channels / N);
    const unsigned blocks = (static_cast<unsigned>(threads) + kThreads - 1) / kThreads;
    launch(channel_copy_kernel<N, T>, {blocks, kThreads, 0, stream}, threads, Divisor(channels / N),
           static_cast<const T*>(from), from_range, static_cast<T*>(to), to_range);
  });
}

}  // namespace gradamp::GRADAMP_GPU
