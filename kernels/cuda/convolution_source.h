// SPDX-License-Identifier: MIT
// The operands of a convolution's matrix products (implicit GEMM). The matrices are never stored: a source gives the
// address of the element at (row, column), or marks it as a zero of the padding. Rows and columns are computed
// separately, because a thread uses the same ones many times.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/divisor.h"
#include "gradamp/kernels/cuda/tile.h"

namespace gradamp::GRADAMP_GPU {

template <typename T>
struct ElementAt {
  const T* address;  // meaningless if !exists
  bool exists;
};

/// A row or a column of a matrix in memory.
struct MatrixLine {
  int offset;  // of its first element
  bool exists;
};

/// A row-major matrix in memory.
template <typename T>
struct MatrixSource {
  const T* values;
  int rows, columns;

  using Row = MatrixLine;
  using Column = MatrixLine;
  using Base = int;
  __device__ __forceinline__ Base base(int k) const { return k; }
  __device__ __forceinline__ Row row(Base base, int i) const { return {(base + i) * columns, base + i < rows}; }
  __device__ __forceinline__ Column column(int j) const { return {j, j < columns}; }
  __device__ __forceinline__ ElementAt<T> at(const Row& row, const Column& column) const {
    return {values + row.offset + column.offset, row.exists && column.exists};
  }
};

/// The im2col matrix of an image tensor (N, height, width, channels). A row is a window, a column is (tap, channel).
/// Each image has a grid of windows. Window (i, j) begins at pixel (i step + origin_h, j step + origin_w); tap (r, s)
/// is tap_step (r, s) pixels from there. Elements outside the image are zero.
template <typename T>
struct Im2colSource {
  const T* image;
  int height, width, channels;
  int rows;  // windows in all images
  Divisor by_windows_of_image, by_windows_of_row;
  int columns;
  Divisor by_channels, by_taps_of_row;
  int step, origin_h, origin_w, tap_step;

  struct Window {
    int image, i, j;
  };
  __device__ __forceinline__ Window window(int row) const {
    const auto [n, rest] = by_windows_of_image.divide(row);
    const auto [i, j] = by_windows_of_row.divide(rest);
    return {n, i, j};
  }

  struct Row {
    int h, w;    // first pixel of the window
    int offset;  // of that pixel's first element
  };
  using Base = int;
  __device__ __forceinline__ Base base(int k) const { return k; }
  __device__ __forceinline__ Row row(Base base, int i) const {
    const int m = base + i;
    const Window at = window(m);
    const int h = at.i * step + origin_h, w = at.j * step + origin_w;
    return {m < rows ? h : kOutside, w, ((at.image * height + h) * width + w) * channels};
  }
  struct Column {
    int h, w;    // relative to the window's first pixel
    int offset;  // relative to Row::offset
  };
  __device__ __forceinline__ Column column(int k) const {  // branch-free: it is in the main loop
    const auto [tap, channel] = by_channels.divide(k);
    const auto [r, s] = by_taps_of_row.divide(tap);
    return {k < columns ? r * tap_step : kOutside, s * tap_step, (r * width + s) * tap_step * channels + channel};
  }
  __device__ __forceinline__ ElementAt<T> at(const Row& row, const Column& column) const {
    const bool inside = static_cast<unsigned>(row.h + column.h) < static_cast<unsigned>(height) &&
                        static_cast<unsigned>(row.w + column.w) < static_cast<unsigned>(width);
    return {image + (row.offset + column.offset), inside};
  }

 private:
  static constexpr int kOutside = -(1 << 28);  // outside every image, also if added to another coordinate
};

/// A filter (K, R, S, C) for the gradient of the input: a row is (tap, output channel), a column an input channel. The
/// taps are every `tap_step`-th one, beginning at (first_r, first_s). kWholeStages: all rows of a pipeline stage belong
/// to one tap, so that only the first row needs a division.
template <typename T, bool kWholeStages>
struct FilterSource {
  const T* filter;
  int taps, taps_of_row, channels;  // of the filter
  int rows;
  Divisor by_out_channels, by_taps_of_row;
  int first_r, first_s, tap_step;

  using Row = MatrixLine;
  using Column = MatrixLine;
  struct Base {
    int k;
    MatrixLine first;
  };
  __device__ __forceinline__ Base base(int k) const { return {k, line(k)}; }
  __device__ __forceinline__ Row row(const Base& base, int i) const {
    if constexpr (!kWholeStages) return line(base.k + i);
    return {base.first.offset + i * taps * channels, base.first.exists};
  }
  __device__ __forceinline__ Column column(int c) const { return {c, c < channels}; }
  __device__ __forceinline__ ElementAt<T> at(const Row& row, const Column& column) const {
    return {filter + row.offset + column.offset, row.exists && column.exists};
  }

 private:
  __device__ __forceinline__ MatrixLine line(int k) const {
    const auto [tap, out_channel] = by_out_channels.divide(k);
    const auto [u, v] = by_taps_of_row.divide(tap);
    const int filter_tap = (first_r + u * tap_step) * taps_of_row + first_s + v * tap_step;
    return {(out_channel * taps + filter_tap) * channels, k < rows};
  }
};

/// How a tile is copied from its source.
enum class Copy {
  kVector,   // 16 bytes at a time, asynchronously: channels are a multiple of 16 bytes
  kElement,  // element by element, for other numbers of channels
};

/// Copies tiles of a source into shared memory. In every tile a thread copies the same chunk of the same rows. Rows of
/// the tile are rows of the source, columns are columns.
template <typename T, typename Source, typename Tile, Major kMajor, Copy kCopy, int kThreads>
class TileLoader {
 public:
  /// `mn`: the tile's first index in m (or n), the same for all k.
  __device__ TileLoader(const Source& source, int mn) : source_(source) {
    if constexpr (kMajor == Major::kK) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) rows_[i] = source_.row(source_.base(mn), tile_row(i));
    } else {
      prepare_columns(mn);
    }
  }

  /// Starts to copy the tile at depth k. If not `predicate`, it stores zeros (predicated copy, without a branch).
  __device__ __forceinline__ void load(T* tile, int k, bool predicate) {
    if constexpr (kMajor == Major::kK) {
      prepare_columns(k);
#pragma unroll
      for (int i = 0; i < kSteps; ++i) copy_chunk(tile, i, rows_[i], predicate);
    } else {
      const typename Source::Base base = source_.base(k);
#pragma unroll
      for (int i = 0; i < kSteps; ++i) copy_chunk(tile, i, source_.row(base, tile_row(i)), predicate);
    }
  }

 private:
  static constexpr int kSteps = Tile::kRows * Tile::kChunks / kThreads;
  static constexpr int kColumns = kCopy == Copy::kVector ? 1 : kVector<T>;  // columns that need addresses, per chunk
  static_assert(kSteps * kThreads == Tile::kRows * Tile::kChunks);

  __device__ static int chunk() { return static_cast<int>(threadIdx.x) % Tile::kChunks; }
  __device__ static int tile_row(int step) {
    return static_cast<int>(threadIdx.x) / Tile::kChunks + step * (kThreads / Tile::kChunks);
  }

  __device__ __forceinline__ void prepare_columns(int first) {
#pragma unroll
    for (int i = 0; i < kColumns; ++i) columns_[i] = source_.column(first + chunk() * kVector<T> + i);
  }

  __device__ __forceinline__ void copy_chunk(T* tile, int step, const typename Source::Row& row, bool predicate) const {
    T* const to = tile + Tile::chunk_offset(tile_row(step), chunk());
    if constexpr (kCopy == Copy::kVector) {
      const ElementAt<T> from = source_.at(row, columns_[0]);
      cp_async_16(to, from.address, from.exists && predicate);
    } else {
      float values[kVector<T>];
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) {
        const ElementAt<T> from = source_.at(row, columns_[i]);
        values[i] = from.exists && predicate ? to_float(*from.address) : 0.0f;
      }
      store<kVector<T>>(to, values);
    }
  }

  const Source& source_;
  typename Source::Row rows_[kMajor == Major::kK ? kSteps : 1];
  typename Source::Column columns_[kColumns];
};

}  // namespace gradamp::GRADAMP_GPU
