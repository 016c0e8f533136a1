// SPDX-License-Identifier: MIT
// A batch from the training set's bytes: pick, crop, flip, normalise.
#include <array>

#include "gradamp/core/philox.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

/// Where an output pixel is read: source row h + dy, column (flip ? width - 1 - w : w) + dx; outside the image is
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

/// The normalised value of every byte, by channel.
using NormalTable = std::array<std::array<float, 256>, 3>;

NormalTable normal_table(const GatherParams& params) {
  NormalTable table;
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t value = 0; value < 256; ++value) {
      table[c][value] = (static_cast<float>(value) / 255.0f - params.mean[c]) * params.inverse_std[c];
    }
  }
  return table;
}

}  // namespace

void CpuBackend::gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, const StepState& state,
                              const GatherParams& params, const Tensor& x, const Tensor& batch_labels) {
  const std::int64_t* counters = state.counters.data<std::int64_t>();
  const auto seed = static_cast<std::uint64_t>(counters[kSeed]);
  const auto epoch = static_cast<std::uint32_t>(counters[kEpoch]);
  const std::int64_t position = counters[kPosition];
  const std::int64_t height = x.shape()[1], width = x.shape()[2];
  const NormalTable normal = normal_table(params);
  parallel_for(threads_, x.shape()[0], [&](std::int64_t n) {
    // Beyond the end of the epoch there is no image: a label that is no class has the loss mark the step.
    const bool is_there = position + n < order.count();
    const std::int32_t index = is_there ? order.data<std::int32_t>()[position + n] : 0;
    batch_labels.data<std::int32_t>()[n] = is_there ? labels.data<std::int32_t>()[index] : -1;
    const Augmentation moved = draw(params, seed, epoch, static_cast<std::uint64_t>(position + n));
    const std::uint8_t* image = images.data<std::uint8_t>() + index * height * width * 3;
    float* out = x.data<float>() + n * height * width * 3;
    for (std::int64_t h = 0; h < height; ++h) {
      for (std::int64_t w = 0; w < width; ++w) {
        const std::int64_t row = h + moved.dy, column = (moved.flip ? width - 1 - w : w) + moved.dx;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        for (std::int64_t c = 0; c < 3; ++c) {
          const std::uint8_t value = inside ? image[(row * width + column) * 3 + c] : std::uint8_t{0};
          *out++ = normal[static_cast<std::size_t>(c)][value];
        }
      }
    }
  });
}

}  // namespace gradamp
