// SPDX-License-Identifier: MIT
// Makes a batch from a dataset's pixels: select, crop, flip, normalize and cut out images. One block per image.
#include "gradamp/kernels/cuda/gather.h"

#include <type_traits>

#include "gradamp/core/cutout.h"
#include "gradamp/core/philox.h"
#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 384;  // a CIFAR image is 384 vectors of bf16

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

/// The statistics of GatherParams in arrays of exactly kChannels elements, because each further element costs
/// instructions.
template <int kChannels>
struct Normalization {
  float mean[kChannels], inverse_std[kChannels];
};

/// A pixel's value before normalization. A byte is scaled to [0, 1]; an f32 value is unchanged.
__device__ float pixel_value(int byte) { return static_cast<float>(byte) / 255.0f; }
__device__ float pixel_value(float value) { return value; }

/// Each thread writes N adjacent elements of x at a time. The number of channels is a compile-time constant. With a
/// runtime value, the two divisions by it would take longer than the rest of the kernel.
template <int N, int kChannels, bool kCutout, typename Pixel, typename T>
__device__ __forceinline__ void gather(const GatherParams& params, const Normalization<kChannels>& normalization,
                                       const GatherTensors& tensors) {
  const std::int64_t position = tensors.counters[kPosition] + blockIdx.x;
  // There is no image past the end of the epoch. The label -1 is not a class, so the loss becomes NaN and marks the
  // step as bad.
  const bool is_there = position < tensors.order_count;
  const std::int32_t index = is_there ? tensors.order[position] : 0;
  if (threadIdx.x == 0) tensors.batch_labels[blockIdx.x] = is_there ? tensors.labels[index] : -1;
  const Augmentation moved = draw(params, tensors.counters, position);
  [[maybe_unused]] CutoutSquare square{};
  if constexpr (kCutout)
    square = draw_cutout(static_cast<std::uint64_t>(tensors.counters[kSeed]),
                         static_cast<std::uint32_t>(tensors.counters[kEpoch]), static_cast<std::uint64_t>(position),
                         params.cutout, tensors.height, tensors.width);
  const int elements = tensors.height * tensors.width * kChannels;
  const Pixel* image = static_cast<const Pixel*>(tensors.images) + std::int64_t{index} * elements;
  T* x = static_cast<T*>(tensors.x) + std::int64_t{blockIdx.x} * elements;
  for (int first = static_cast<int>(threadIdx.x) * N; first < elements; first += kThreads * N) {
    float values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const int pixel = (first + i) / kChannels, c = (first + i) % kChannels;
      const int h = pixel / tensors.width, w = pixel % tensors.width;
      const int row = h + moved.dy, column = (moved.flip ? tensors.width - 1 - w : w) + moved.dx;
      const bool inside = row >= 0 && row < tensors.height && column >= 0 && column < tensors.width;
      const auto value = inside ? image[(row * tensors.width + column) * kChannels + c] : 0;  // an int or a float
      values[i] = (pixel_value(value) - normalization.mean[c]) * normalization.inverse_std[c];
      if constexpr (kCutout)
        if (square.contains(h, w)) values[i] = 0;
    }
    store<N>(x + first, values);
  }
}

// Two kernels, so that the one without cutout keeps its name and its template arguments.
template <int N, int kChannels, typename Pixel, typename T>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(GatherParams params, Normalization<kChannels> normalization, GatherTensors tensors) {
  gather<N, kChannels, false, Pixel, T>(params, normalization, tensors);
}

template <int N, int kChannels, typename Pixel, typename T>
__global__ void __launch_bounds__(kThreads)
    gather_cutout_kernel(GatherParams params, Normalization<kChannels> normalization, GatherTensors tensors) {
  gather<N, kChannels, true, Pixel, T>(params, normalization, tensors);
}

/// Calls `body` with the number of channels as a compile-time constant and a zero of the pixels' type.
template <typename Body>
void with_pixels(int channels, DType type, const Body& body) {
  const auto with_channels = [&](auto constant) {
    if (type == DType::kF32) {
      body(constant, 0.0f);
    } else {
      body(constant, std::uint8_t{0});
    }
  };
  switch (channels) {
    case 1: return with_channels(std::integral_constant<int, 1>{});
    case 2: return with_channels(std::integral_constant<int, 2>{});
    case 3: return with_channels(std::integral_constant<int, 3>{});
    default: return with_channels(std::integral_constant<int, kMaxImageChannels>{});
  }
}

__global__ void advance_step_kernel(std::int64_t* counters, std::int64_t images) {
  counters[kStep] += 1;
  counters[kPosition] += images;
}

}  // namespace

void launch_gather(cudaStream_t stream, DType type, const GatherParams& params, const GatherTensors& tensors) {
  with_pixels(tensors.channels, tensors.pixel_type, [&](auto channels, auto pixel) {
    constexpr int kChannels = decltype(channels)::value;
    Normalization<kChannels> normalization;
    for (std::size_t c = 0; c < kChannels; ++c) {
      normalization.mean[c] = params.mean[c];
      normalization.inverse_std[c] = params.inverse_std[c];
    }
    with_vectors(type, tensors.height * tensors.width * kChannels, [&](auto zero, auto width) {
      constexpr int kWidth = decltype(width)::value;
      using Pixel = decltype(pixel);
      using T = decltype(zero);
      launch(params.cutout > 0 ? gather_cutout_kernel<kWidth, kChannels, Pixel, T>
                               : gather_kernel<kWidth, kChannels, Pixel, T>,
             {static_cast<unsigned>(tensors.batch), kThreads, 0, stream}, params, normalization, tensors);
    });
  });
}

void launch_advance_step(cudaStream_t stream, std::int64_t* counters, std::int64_t images) {
  launch(advance_step_kernel, {1, 1, 0, stream}, counters, images);
}

}  // namespace gradamp::GRADAMP_GPU
