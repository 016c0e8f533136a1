// SPDX-License-Identifier: MIT
// Makes a batch from the training set's bytes: pick, crop, flip, normalize. One block per image.
#include "gradamp/kernels/cuda/gather.h"

#include "gradamp/core/philox.h"
#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 128;

/// The source of output pixel (h, w): row h + dy, column (flip ? width - 1 - w : w) + dx. Pixels outside the image are
/// black.
struct Augmentation {
  int dy, dx;
  bool flip;
};

__device__ Augmentation draw(const GatherParams& params, const std::int64_t* counters, std::int64_t position) {
  if (!params.augment) return {0, 0, false};
  const PhiloxBlock random = philox(static_cast<std::uint64_t>(counters[kSeed]), RandomStream::kAugmentation,
                                    static_cast<std::uint32_t>(counters[kEpoch]), static_cast<std::uint64_t>(position));
  const auto span = static_cast<std::uint32_t>(2 * params.padding + 1);
  return {static_cast<int>(uniform_below(random.word[0], span)) - params.padding,
          static_cast<int>(uniform_below(random.word[1], span)) - params.padding,
          params.flip && (random.word[2] & 1) != 0};
}

/// GatherParams as plain arrays.
struct Normalization {
  float mean[3], inverse_std[3];
};

template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(GatherParams params, Normalization normalization, GatherTensors tensors) {
  const std::int64_t position = tensors.counters[kPosition] + blockIdx.x;
  // Beyond the end of the epoch there is no image: a label that is no class has the loss mark the step.
  const bool is_there = position < tensors.order_count;
  const std::int32_t index = is_there ? tensors.order[position] : 0;
  if (threadIdx.x == 0) tensors.batch_labels[blockIdx.x] = is_there ? tensors.labels[index] : -1;
  const Augmentation moved = draw(params, tensors.counters, position);
  const int elements = tensors.height * tensors.width * 3;
  const std::uint8_t* image = tensors.images + std::int64_t{index} * elements;
  T* x = static_cast<T*>(tensors.x) + std::int64_t{blockIdx.x} * elements;
  for (int first = static_cast<int>(threadIdx.x) * N; first < elements; first += kThreads * N) {
    float values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const int pixel = (first + i) / 3, c = (first + i) % 3;
      const int h = pixel / tensors.width, w = pixel % tensors.width;
      const int row = h + moved.dy, column = (moved.flip ? tensors.width - 1 - w : w) + moved.dx;
      const bool inside = row >= 0 && row < tensors.height && column >= 0 && column < tensors.width;
      const int byte = inside ? image[(row * tensors.width + column) * 3 + c] : 0;
      values[i] = (static_cast<float>(byte) / 255.0f - normalization.mean[c]) * normalization.inverse_std[c];
    }
    store<N>(x + first, values);
  }
}

__global__ void advance_step_kernel(std::int64_t* counters, std::int64_t images) {
  counters[kStep] += 1;
  counters[kPosition] += images;
}

}  // namespace

void launch_gather(cudaStream_t stream, DType type, const GatherParams& params, const GatherTensors& tensors) {
  Normalization normalization;
  for (std::size_t c = 0; c < 3; ++c) {
    normalization.mean[c] = params.mean[c];
    normalization.inverse_std[c] = params.inverse_std[c];
  }
  with_vectors(type, tensors.height * tensors.width * 3, [&](auto zero, auto width) {
    using T = decltype(zero);
    launch(gather_kernel<decltype(width)::value, T>, {static_cast<unsigned>(tensors.batch), kThreads, 0, stream},
           params, normalization, tensors);
  });
}

void launch_advance_step(cudaStream_t stream, std::int64_t* counters, std::int64_t images) {
  launch(advance_step_kernel, {1, 1, 0, stream}, counters, images);
}

}  // namespace gradamp::GRADAMP_GPU
