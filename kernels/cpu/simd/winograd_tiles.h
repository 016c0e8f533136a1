// SPDX-License-Identifier: MIT
// The tiles of Winograd's convolutions: their location in an image, and the memory layout of the transformed tiles. The
// 16 elements of a transformed tile are called its positions.
#pragma once

#include <algorithm>

#include "gradamp/kernels/cpu/simd/channel_reader.h"
#include "gradamp/kernels/cpu/simd/images.h"
#include "gradamp/kernels/cpu/simd/register_kernel.h"
#include "gradamp/kernels/cpu/simd/winograd_transforms.h"

namespace gradamp::GRADAMP_SIMD {

/// The 2x2 tiles of a batch of outputs.
inline Grid tile_grid(std::int64_t batch, std::int64_t out_height, std::int64_t out_width) {
  return {batch, ceil_div(out_height, 2), ceil_div(out_width, 2)};
}

/// Images whose tile (i, j) begins at pixel (2 i - padding, 2 j - padding).
template <typename Element>
struct TiledImages : Images<Element> {
  std::int64_t padding;
  ChannelAffine affine = {};  // applied to pixels when they are read; only with a multiple of 16 channels

  std::int64_t top(const Place& tile) const { return 2 * tile.row - padding; }
  std::int64_t left(const Place& tile) const { return 2 * tile.column - padding; }
};

/// The positions of up to `tiles` tiles: 16 matrices (tiles, channels) in groups of 16 channels, which is the layout
/// that kernels/cpu/simd/register_kernel.h reads. A line is 16 floats: one position, one tile, one group.
struct TileBuffer {
  float* data;
  std::int64_t tiles, groups;

  /// Contains one unused line. If the stride were a power of two, the 16 positions of a tile would compete for a few
  /// sets of the cache.
  static constexpr std::int64_t position_stride(std::int64_t tiles, std::int64_t groups) {
    return (groups * tiles + 1) * kGroup;
  }
  static constexpr std::int64_t floats(std::int64_t tiles, std::int64_t groups) {
    return kPositions * position_stride(tiles, groups);
  }
  std::int64_t position_stride() const { return position_stride(tiles, groups); }
  std::int64_t group_stride() const { return tiles * kGroup; }
  float* line(std::int64_t position, std::int64_t group, std::int64_t tile) const {
    return data + position * position_stride() + group * group_stride() + tile * kGroup;
  }
};

/// A pixel of a tile.
template <typename T>
struct TilePixel {
  const T* channels;
  std::uint32_t inside = ~0u;  // 0: it is outside the image
};

/// Transforms the pixels of one tile to its positions, which begin at `line`. `pixel(r, s)` is a TilePixel.
template <int kWidth, typename Transform, typename Pixel, typename Reader>
[[gnu::always_inline]] inline void tile_to_positions(const Pixel pixel, const Reader& reader, std::int64_t channels,
                                                     float* line, std::int64_t group_stride,
                                                     std::int64_t position_stride) {
  constexpr int kPixels = Transform::kPixels;
  std::int64_t channel = 0;
  for (; channel + kGroup <= channels; channel += kGroup, line += group_stride) {
#pragma GCC unroll 4
    for (int lane = 0; lane < kGroup; lane += kWidth) {
      const typename Reader::template Lanes<kWidth> read(reader, channel + lane);
      to_positions<kWidth, Transform>(
          [=](int r, int s) { return read(pixel(r, s).channels + channel + lane, pixel(r, s).inside); }, line + lane,
          position_stride);
    }
  }
  if (channel == channels) return;
  alignas(64) float patch[kPixels][kPixels][kGroup] = {};
  for (int r = 0; r < kPixels; ++r)
    for (int s = 0; s < kPixels; ++s) std::copy_n(pixel(r, s).channels + channel, channels - channel, patch[r][s]);
  for (int lane = 0; lane < kGroup; lane += kWidth)
    to_positions<kWidth, Transform>([&](int r, int s) { return load<kWidth>(patch[r][s] + lane); }, line + lane,
                                    position_stride);
}

/// Requests the pixels that the tile below reads or writes for the first time, so that they are in the cache when its
/// turn comes: `channels` channels of two pixels of two rows. Rows of images are too short for the processor's own
/// prefetching. (With it a step of resnet20 with AVX2 took 0.84 of the time.)
template <int kPixels, typename T>
[[gnu::always_inline]] inline void prefetch_below(const TiledImages<T>& images, std::int64_t image, std::int64_t top,
                                                  std::int64_t left, std::int64_t first_channel,
                                                  std::int64_t channels) {
  constexpr std::int64_t kLine = 64, kBytes = sizeof(T);
  // Addresses, not pointers: they may be in the next image or beyond the last one, which a request may.
  const std::int64_t pixel = (image * images.height + top + kPixels) * images.width + left + kPixels - 2;
  const auto first = reinterpret_cast<std::uintptr_t>(images.data) +
                     static_cast<std::uintptr_t>((pixel * images.channels + first_channel) * kBytes);
  for (std::int64_t row = 0; row < 2; ++row)
    for (std::int64_t column = 0; column < 2; ++column)
      for (std::int64_t byte = 0; byte < channels * kBytes; byte += kLine)
        __builtin_prefetch(reinterpret_cast<const void*>(
            first + static_cast<std::uintptr_t>((row * images.width + column) * images.channels * kBytes + byte)));
}

/// Computes the positions of a range of tiles. `zeros` has images.channels zeros; pixels outside the image are read
/// from there.
template <int kWidth, typename Transform, typename T, typename Reader>
void tiles_to_positions(const Grid& grid, const PlaceRange& range, const TiledImages<const T> images,
                        const Reader reader, const T* zeros, const TileBuffer out) {
  constexpr int kPixels = Transform::kPixels;
  const std::int64_t channels = images.channels, row_stride = images.width * channels;
  Place place(grid, range.first);
  for (std::int64_t tile = 0; tile < range.count; ++tile, place.advance(grid)) {
    const std::int64_t top = images.top(place), left = images.left(place);
    float* const line = out.line(0, 0, tile);
    prefetch_below<kPixels>(images, place.image, top, left, 0, channels);
    if (images.contains(top, left) && images.contains(top + kPixels - 1, left + kPixels - 1)) {
      const T* const corner = images.pixel(place.image, top, left);
      tile_to_positions<kWidth, Transform>(
          [=](int r, int s) { return TilePixel<T>{corner + r * row_stride + s * channels}; }, reader, channels, line,
          out.group_stride(), out.position_stride());
    } else {
      TilePixel<T> pixels[kPixels][kPixels];
      for (int r = 0; r < kPixels; ++r)
        for (int s = 0; s < kPixels; ++s)
          pixels[r][s] = images.contains(top + r, left + s) ? TilePixel<T>{images.pixel(place.image, top + r, left + s)}
                                                            : TilePixel<T>{zeros, 0};
      tile_to_positions<kWidth, Transform>([&pixels](int r, int s) { return pixels[r][s]; }, reader, channels, line,
                                           out.group_stride(), out.position_stride());
    }
  }
}

template <int kWidth, typename Transform, typename T>
void tiles_to_positions(const Grid& grid, const PlaceRange& range, const TiledImages<const T>& images, const T* zeros,
                        const TileBuffer& out) {
  with_reader(images.affine, [&](const auto& reader) {
    tiles_to_positions<kWidth, Transform>(grid, range, images, reader, zeros, out);
  });
}

}  // namespace gradamp::GRADAMP_SIMD
