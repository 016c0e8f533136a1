// SPDX-License-Identifier: MIT
// Makes a batch from a dataset's pixels: select, crop, flip, normalize and cut out images.
#include <algorithm>
#include <array>

#include "gradamp/core/cutout.h"
#include "gradamp/core/philox.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/element_type.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// The source of output pixel (h, w): row h + dy, column (flip ? width - 1 - w : w) + dx. Pixels outside the image are
/// black.
struct Augmentation {
  std::int64_t dy = 0, dx = 0;
  bool flip = false;
};

Augmentation draw(const GatherParams& params, std::uint64_t seed, std::uint32_t epoch, std::uint64_t position) {
  if (!params.augment) return {};
  const PhiloxBlock random = philox(seed, RandomStream::kAugmentation, epoch, position);
  const auto span = static_cast<std::uint32_t>(2 * params.padding + 1);
  return {std::int64_t{uniform_below(random.word[0], span)} - params.padding,
          std::int64_t{uniform_below(random.word[1], span)} - params.padding, params.flip && (random.word[2] & 1) != 0};
}

/// Normalizes the value of a pixel in channel c.
template <typename Pixel>
class Normalizer;

template <>
class Normalizer<float> {
 public:
  explicit Normalizer(const GatherParams& params) : params_(params) {}
  float operator()(std::size_t c, float value) const { return (value - params_.mean[c]) * params_.inverse_std[c]; }

 private:
  GatherParams params_;
};

/// Looks values up in a table, so that each of the 256 values is computed only once per channel.
template <>
class Normalizer<std::uint8_t> {
 public:
  explicit Normalizer(const GatherParams& params) {
    const Normalizer<float> normalize(params);
    for (std::size_t c = 0; c < table_.size(); ++c) {
      for (std::size_t value = 0; value < 256; ++value) {
        table_[c][value] = normalize(c, static_cast<float>(value) / 255.0f);
      }
    }
  }
  float operator()(std::size_t c, std::uint8_t value) const { return table_[c][value]; }

 private:
  std::array<std::array<float, 256>, kMaxImageChannels> table_;
};

/// The extents of an image in pixels.
struct Extents {
  std::int64_t height, width;
};

/// Crops, flips and normalizes one image (H, W, kChannels) into `out`.
template <std::int64_t kChannels, typename Pixel, typename T>
void gather_image(const Pixel* image, const Extents& extents, const Augmentation& moved,
                  const Normalizer<Pixel>& normalize, T* out) {
  const auto [height, width] = extents;
  for (std::int64_t h = 0; h < height; ++h) {
    for (std::int64_t w = 0; w < width; ++w) {
      const std::int64_t row = h + moved.dy, column = (moved.flip ? width - 1 - w : w) + moved.dx;
      const bool inside = row >= 0 && row < height && column >= 0 && column < width;
      for (std::int64_t c = 0; c < kChannels; ++c) {
        const Pixel value = inside ? image[(row * width + column) * kChannels + c] : Pixel{0};
        *out++ = normalize(static_cast<std::size_t>(c), value);
      }
    }
  }
}

/// Sets the square's pixels of one image (H, W, channels) to 0.
template <typename T>
void erase(const CutoutSquare& square, const Extents& extents, std::int64_t channels, T* image) {
  const auto [height, width] = extents;
  const std::int64_t left = std::max(square.left, 0), right = std::min<std::int64_t>(square.left + square.side, width);
  const std::int64_t bottom = std::min<std::int64_t>(square.top + square.side, height);
  for (std::int64_t row = std::max(square.top, 0); row < bottom; ++row)
    std::fill(image + (row * width + left) * channels, image + (row * width + right) * channels, T{});
}

/// gather_image for a number of channels that is known at run time.
template <typename Pixel, typename T>
auto gather_function(std::int64_t channels) {
  switch (channels) {
    case 1: return gather_image<1, Pixel, T>;
    case 2: return gather_image<2, Pixel, T>;
    case 3: return gather_image<3, Pixel, T>;
    default: return gather_image<kMaxImageChannels, Pixel, T>;
  }
}

}  // namespace

void CpuBackend::gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, const StepState& state,
                              const GatherParams& params, const Tensor& x, const Tensor& batch_labels) {
  const std::int64_t* counters = state.counters.data<std::int64_t>();
  const auto seed = static_cast<std::uint64_t>(counters[kSeed]);
  const auto epoch = static_cast<std::uint32_t>(counters[kEpoch]);
  const std::int64_t position = counters[kPosition];
  const Extents extents{x.shape()[1], x.shape()[2]};
  const std::int64_t channels = x.shape()[3], elements = extents.height * extents.width * channels;
  const auto gather = [&]<typename Pixel, typename T>(const Pixel* pixels, T) {
    const Normalizer<Pixel> normalize(params);
    const auto gather_one = gather_function<Pixel, T>(channels);
    parallel_for(threads_, x.shape()[0], [&](std::int64_t n) {
      // There is no image past the end of the epoch. The label -1 is not a class, so the loss becomes NaN and marks the
      // step as bad.
      const bool is_there = position + n < order.count();
      const std::int32_t index = is_there ? order.data<std::int32_t>()[position + n] : 0;
      batch_labels.data<std::int32_t>()[n] = is_there ? labels.data<std::int32_t>()[index] : -1;
      const auto place = static_cast<std::uint64_t>(position + n);
      T* const out = x.data<T>() + n * elements;
      gather_one(pixels + index * elements, extents, draw(params, seed, epoch, place), normalize, out);
      if (params.cutout > 0) {
        erase(draw_cutout(seed, epoch, place, params.cutout, static_cast<int>(extents.height),
                          static_cast<int>(extents.width)),
              extents, channels, out);
      }
    });
  };
  with_element_type(x.dtype(), [&](auto zero) {
    if (images.dtype() == DType::kF32) {
      gather(images.data<float>(), zero);
    } else {
      gather(images.data<std::uint8_t>(), zero);
    }
  });
}

}  // namespace gradamp
