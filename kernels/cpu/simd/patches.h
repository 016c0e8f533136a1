// SPDX-License-Identifier: MIT
// The patches of a direct convolution (kernels/cpu/simd/direct.h): the pixels that its windows cover, as rows of a
// matrix.
#pragma once

#include <algorithm>
#include <span>

#include "gradamp/kernels/cpu/direct_products.h"
#include "gradamp/kernels/cpu/simd/channel_reader.h"
#include "gradamp/kernels/cpu/simd/images.h"
#include "gradamp/kernels/cpu/simd/register_kernel.h"

namespace gradamp::GRADAMP_SIMD {

/// The windows of `grid`; window (i, j) has its place at pixel (step * i, step * j). Column tap * channels + c of the
/// matrix is channel c of the pixel that the tap reads.
template <typename T>
struct Patches {
  Images<const T> images;
  Grid grid;
  std::int64_t step;
  std::span<const Tap> taps;
  ChannelAffine affine = {};  // applied to pixels when they are read; only with a multiple of 16 channels

  std::int64_t depth() const { return static_cast<std::int64_t>(taps.size()) * images.channels; }
};

/// A matrix in groups of 16 columns: line `row` of group `g` is at data + g * group_stride + row * 16. Of patches, a
/// column of elements of type Bf16Pair has two columns, and the others have one.
template <typename E>
struct Lines {
  E* data;
  std::int64_t group_stride;
};

/// Columns of patches in a group of lines of E.
template <typename E>
inline constexpr std::int64_t kGroupColumns = kGroup* kTerms<E>;

/// Copies 16 elements, or zeros if `from` is null. The numbers are bf16 already if E is.
template <int kWidth, typename T, typename E>
[[gnu::always_inline]] inline void copy_elements(const T* from, E* to) {
#pragma GCC unroll 4
  for (int lane = 0; lane < kGroup; lane += kWidth)
    store_exact<kWidth>(to + lane / kTerms<E>, from != nullptr ? load<kWidth>(from + lane) : Simd<kWidth>{});
}

/// Columns [offset, offset + count) of a range of columns of a patch, which are adjacent in memory if all taps of a run
/// are inside the image. (A run is one pixel if pixels are not adjacent.)
struct PatchPart {
  std::int64_t offset, count;
  std::int64_t row, column, run;  // the first pixel, relative to the place of the window, and the number of pixels
  std::int64_t skipped;           // channels of the first pixel that belong to earlier columns
};

/// The parts of the columns [first, last), at most kMaxDepth. Each part has at least one column.
template <typename T>
class PatchParts {
 public:
  PatchParts(const Patches<T>& patches, std::int64_t first, std::int64_t last)
      : images_(patches.images), step_(patches.step) {
    const std::int64_t channels = images_.channels, end = std::min(last, patches.depth());
    const bool are_adjacent = images_.pixel_stride == channels;
    std::int64_t tap_index = first / channels, skipped = first % channels;
    for (std::int64_t column = first; column < end; skipped = 0) {
      const Tap& tap = patches.taps[static_cast<std::size_t>(tap_index)];
      const std::int64_t count = std::min((are_adjacent ? tap.run : 1) * channels - skipped, end - column);
      const std::int64_t run = ceil_div(skipped + count, channels);
      parts_[count_++] = {column - first, count, tap.row, tap.column, run, skipped};
      top_ = std::min(top_, tap.row);
      bottom_ = std::max(bottom_, tap.row);
      left_ = std::min(left_, tap.column);
      right_ = std::max(right_, tap.column + run - 1);
      column += count;
      tap_index += run;
    }
  }

  /// Calls copy(offset, count, pixel) for each part; `pixel` is null for pixels outside the image, which are parts of
  /// their own.
  template <typename Copy>
  [[gnu::always_inline]] inline void for_each(const Place& place, const Copy& copy) const {
    const std::int64_t h = step_ * place.row, w = step_ * place.column;
    const std::int64_t row_stride = images_.width * images_.pixel_stride;
    const T* const corner = images_.pixel(place.image, h, w);
    if (images_.contains(h + top_, w + left_) && images_.contains(h + bottom_, w + right_)) {
      for (int i = 0; i < count_; ++i)
        copy(parts_[i].offset, parts_[i].count,
             corner + parts_[i].row * row_stride + parts_[i].column * images_.pixel_stride + parts_[i].skipped);
      return;
    }
    for (int i = 0; i < count_; ++i) copy_pixels(parts_[i], h, w, corner, row_stride, copy);
  }

 private:
  /// A part of a window that is not inside the image, pixel by pixel.
  template <typename Copy>
  [[gnu::always_inline]] inline void copy_pixels(const PatchPart& part, std::int64_t h, std::int64_t w, const T* corner,
                                                 std::int64_t row_stride, const Copy& copy) const {
    std::int64_t done = 0, skipped = part.skipped;
    for (std::int64_t i = 0; i < part.run; ++i, skipped = 0) {
      const std::int64_t column = part.column + i, count = std::min(images_.channels - skipped, part.count - done);
      const bool inside = images_.contains(h + part.row, w + column);
      copy(part.offset + done, count,
           inside ? corner + part.row * row_stride + column * images_.pixel_stride + skipped : nullptr);
      done += count;
    }
  }

  Images<const T> images_;
  std::int64_t step_;
  std::int64_t top_ = 0, bottom_ = 0, left_ = 0, right_ = 0;
  int count_ = 0;
  PatchPart parts_[kMaxDepth];
};

/// One patch, if channels are a multiple of 16, so that parts are whole lines (of pairs, whole halves of lines). The
/// first column belongs to channel `channel`. Half a line of pairs that is missing at the end is zeros.
template <int kWidth, typename T, typename Reader, typename E>
[[gnu::always_inline]] inline void copy_whole_lines(const PatchParts<T>& parts, const Reader& reader,
                                                    std::int64_t channels, std::int64_t channel, const Place& place,
                                                    E* line, std::int64_t group_stride) {
  bool has_half = false;
  const auto advance = [&] {
    if constexpr (kTerms<E> == 1) {
      line += group_stride;
    } else {
      line += has_half ? group_stride - kGroup / 2 : kGroup / 2;
      has_half = !has_half;
    }
  };
  parts.for_each(place, [&](std::int64_t, std::int64_t count, const T* pixel) {
    for (std::int64_t i = 0; i < count; i += kGroup, advance()) {
#pragma GCC unroll 4
      for (int lane = 0; lane < kGroup; lane += kWidth) {
        const typename Reader::template Lanes<kWidth> read(reader, channel + lane);
        store_exact<kWidth>(line + lane / kTerms<E>, pixel == nullptr ? Simd<kWidth>{} : read(pixel + i + lane));
      }
      channel = channel + kGroup < channels ? channel + kGroup : 0;
    }
  });
  if (has_half) copy_elements<kWidth, T>(nullptr, line);
}

/// One patch as a row of `columns` columns and kGroup more. Columns beyond the depth are zeros. `end` is the end of the
/// images.
template <int kWidth, typename T>
[[gnu::always_inline]] inline void copy_row(const PatchParts<T>& parts, const Place& place, std::int64_t columns,
                                            const T* end, float* row) {
  std::int64_t filled = 0;
  parts.for_each(place, [&](std::int64_t offset, std::int64_t count, const T* pixel) {
    filled = offset + count;
    if (count <= kGroup && (pixel == nullptr || end - pixel >= kGroup)) {
      copy_elements<kWidth>(pixel, row + offset);  // more than needed: the next part or the zeros replace the rest
    } else if (pixel != nullptr) {
      std::copy_n(pixel, count, row + offset);
    } else {
      std::fill_n(row + offset, count, 0.0f);
    }
  });
  if (filled < columns) std::fill_n(row + filled, columns - filled, 0.0f);
}

/// Copies the groups [first, first + groups) of the patches in `range`, at most kMaxDepth columns.
template <int kWidth, typename T, typename E>
void copy_patches(const Patches<T>& patches, const PlaceRange& range, std::int64_t first, std::int64_t groups,
                  const Lines<E>& out) {
  const std::int64_t first_column = first * kGroupColumns<E>, columns = groups * kGroupColumns<E>;
  const PatchParts<T> parts(patches, first_column, first_column + columns);
  Place place(patches.grid, range.first);
  if (patches.images.channels % kGroup == 0) {
    const std::int64_t channels = patches.images.channels, channel = first_column % channels;
    with_reader(patches.affine, [&](const auto& reader) {
      for (std::int64_t i = 0; i < range.count; ++i, place.advance(patches.grid))
        copy_whole_lines<kWidth>(parts, reader, channels, channel, place, out.data + i * kGroup, out.group_stride);
    });
    return;
  }
  // Rows whose parts lie anyhow are built in memory first. A line that is read at once after its parts were written
  // waits for them, so several rows are built before the first is read.
  constexpr std::int64_t kRows = 16, kRowStride = kMaxDepth + kGroup;
  alignas(64) float rows[kRows * kRowStride];
  const T* const end = patches.images.end(patches.grid.batch);
  for (std::int64_t begin = 0; begin < range.count; begin += kRows) {
    const std::int64_t count = std::min(kRows, range.count - begin);
    for (std::int64_t i = 0; i < count; ++i, place.advance(patches.grid))
      copy_row<kWidth>(parts, place, columns, end, rows + i * kRowStride);
    for (std::int64_t group = 0; group < groups; ++group)
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t term = 0; term < kTerms<E>; ++term)
          copy_elements<kWidth>(rows + i * kRowStride + group * kGroupColumns<E> + term * kGroup,
                                out.data + group * out.group_stride + (begin + i) * kGroup + term * kGroup / kTerms<E>);
  }
}

}  // namespace gradamp::GRADAMP_SIMD
