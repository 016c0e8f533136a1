// SPDX-License-Identifier: MIT
// What the gradient of a convolution's input does with its accumulators, the same for the tiles of convolution_tile.h
// and of hopper_tile.h, and how its pixels are divided among blocks.
//
// A pixel of x receives gradient from every y pixel whose window covers it. With stride s, the pixels at (a, b) modulo
// s receive through every s-th tap only. So each of these s^2 stride residues is a dense product of its own: grad_x
// (pixels of the residue, C) = im2col(grad_y) (.., taps K) filter (taps K, C). No product has a zero factor that the
// stride would insert.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gradamp/kernels/cuda/batch_norm_affine.h"
#include "gradamp/kernels/cuda/combine_pairs.h"
#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/divisor.h"

namespace gradamp::GRADAMP_GPU {

/// Maximum number of stride residues per launch.
inline constexpr int kMaxResidues = 4;

inline int tiles_of(int rows, int rows_of_tile) { return (rows + rows_of_tile - 1) / rows_of_tile; }

/// One dimension (height or width) of a stride residue: its taps, and where it begins to read grad_y.
struct ResidueSide {
  int pixels;     // per image
  int first_tap;  // then every stride-th
  int taps;
  int origin;  // the pixel of y that meets pixel 0 of the residue at first_tap
};

inline ResidueSide residue_side(int residue, int extent, int kernel, int stride, int padding) {
  ResidueSide side;
  side.pixels = std::max(0, (extent - residue + stride - 1) / stride);
  side.first_tap = (residue + padding) % stride;
  side.taps = side.first_tap < kernel ? (kernel - side.first_tap + stride - 1) / stride : 0;
  side.origin = (residue + padding - side.first_tap) / stride;
  return side;
}

template <typename T>
struct InputGradient {
  T* grad_x;
  Update update;
  int height, width, channels, stride;
  NormOfInput norm;
};

/// The pixels of x at (row, column) modulo the stride. A type derived from it has their number in all images as rows(),
/// and with window(i) the image and the place of the i-th of them (image, i, j).
struct StridePixels {
  int row, column;
  int first_group;  // the number of tiles of pixels in the residues before it
};

/// The residues of a launch.
struct ResidueLaunch {
  int count;
  int pixel_tiles;  // of the largest
};

/// Calls launch(residues, ResidueLaunch) for all residues, with at most kMaxResidues at a time. make(row, column) makes
/// one of the array Residues::residues. Tiles have kGroupRows pixels.
template <typename Residues, typename Make, typename Launch>
void for_residues(const ConvolutionShape& shape, const Make& make, const Launch& launch) {
  const int total = shape.stride * shape.stride;
  for (int first = 0; first < total; first += kMaxResidues) {
    ResidueLaunch which{std::min(kMaxResidues, total - first), 0};
    Residues all{};
    int groups = 0;
    for (int i = 0; i < which.count; ++i) {
      // With the usual padding the last residue has the most taps. Its blocks run longest, so they start first.
      const int index = first + which.count - 1 - i;
      all.residues[i] = make(index / shape.stride, index % shape.stride);
      const int tiles = tiles_of(all.residues[i].rows(), kGroupRows);
      all.residues[i].first_group = groups;
      groups += tiles;
      which.pixel_tiles = std::max(which.pixel_tiles, tiles);
    }
    if (which.pixel_tiles > 0) launch(all, which);
  }
}

template <typename T>
InputGradient<T> input_gradient(const ConvolutionShape& shape, const ConvolutionBackwardInput& tensors) {
  return {static_cast<T*>(tensors.grad_x),
          tensors.update,
          shape.height,
          shape.width,
          shape.in_channels,
          shape.stride,
          tensors.norm};
}

/// The offset in grad_x of a pixel of the residue; less than 0 if there is no such pixel.
template <typename Residue, typename T>
__device__ __forceinline__ int pixel_offset(const Residue& residue, const InputGradient<T>& out, int pixel) {
  if (pixel >= residue.rows()) return -1;
  if (out.stride == 1) return pixel * out.channels;
  const auto at = residue.window(pixel);
  const int h = residue.row + at.i * out.stride, w = residue.column + at.j * out.stride;
  return ((at.image * out.height + h) * out.width + w) * out.channels;
}

/// The epilogue with a NormOfInput: stores g in place of the gradient, and the sums. It streams through the block's
/// pixels as batch norm's own kernels do. A lane has 16-byte chunks of several pixels, all in the same N channels.
template <typename T, typename Block, typename Product>
class NormEpilogue {
  static constexpr int N = kVector<T>;
  static constexpr int kChunks = Block::kWarpN / N;         // of a row
  static constexpr int kRowStep = 32 / kChunks;             // from a lane's pixel to its next one
  static constexpr int kPixels = Block::kWarpM / kRowStep;  // of a lane
  /// Pixels whose loads are in flight together.
  static constexpr int kAtOnce = (Block::kN == 128 ? 8 : 4) * 128 / Block::kThreads;
  static_assert(32 % kChunks == 0 && kPixels % kAtOnce == 0);
  static_assert(Block::kN <= Block::kThreads && Block::kM == kGroupRows);

 public:
  __device__ NormEpilogue(const InputGradient<T>& out, const Divisor& by_channel_tiles)
      : out_(out),
        norm_(out.norm),
        thread_(thread_index_anew()),
        tile_(by_channel_tiles.divide(block_index_anew())),
        channel_tiles_(by_channel_tiles.value()),
        column_(thread_ / 32 / Block::kWarpsM * Block::kWarpN + thread_ % 32 % kChunks * N),
        channel_(tile_.remainder * Block::kN + column_) {
    if (channel_ < out.channels) channels_ = {norm_, channel_};
  }

  /// What run() reads of a row begins its way into the second-level cache. Threads 0 to kM - 1 have a row of the block
  /// each.
  template <typename Residue>
  __device__ static void prefetch(const InputGradient<T>& out, const Residue& residue, int first_pixel,
                                  int first_channel) {
    static_assert(Block::kM <= Block::kThreads);
    if (Block::kM < Block::kThreads && static_cast<int>(threadIdx.x) >= Block::kM) return;
    const int row = pixel_offset(residue, out, first_pixel + static_cast<int>(threadIdx.x));
    constexpr int kLine = 128 / static_cast<int>(sizeof(T));
    if (row < 0) return;
    for (int column = first_channel; column < min(first_channel + Block::kN, out.channels); column += kLine) {
      prefetch_to_l2(static_cast<const T*>(out.norm.x) + row + column);
      if (out.norm.y) prefetch_to_l2(static_cast<const T*>(out.norm.y) + row + column);
      if (out.update == Update::kAdd) prefetch_to_l2(out.grad_x + row + column);
    }
  }

  template <typename Residue>
  __device__ void run(void* shared, const typename Product::Sums& sums, const Residue& residue) {
    const T* const staged = Product::template stage_sums<T>(shared, sums, thread_);
    if (channel_ < out_.channels) store_gradients(staged, residue);
    Block::sync();  // all warps have read their sums
    store_sums(residue.first_group + tile_.quotient, shared);
  }

 private:
  __device__ int warp_m() const { return thread_ / 32 % Block::kWarpsM; }

  /// `staged`: the warp's rows.
  template <typename Residue>
  __device__ __forceinline__ void store_gradients(const T* staged, const Residue& residue) {
    const int first_row = thread_ % 32 / kChunks, first_pixel = tile_.quotient * Block::kM + warp_m() * Block::kWarpM;
    const T *const x_of = static_cast<const T*>(norm_.x), *const y_of = static_cast<const T*>(norm_.y);
#pragma unroll 1
    for (int first = first_row; first < Block::kWarpM; first += kAtOnce * kRowStep) {
      int at[kAtOnce];  // in grad_x, x and y
      uint4 chunks[kAtOnce], there[kAtOnce] = {}, x[kAtOnce] = {}, y[kAtOnce] = {};
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        at[i] = pixel_offset(residue, out_, first_pixel + first + i * kRowStep);
        if (at[i] < 0) continue;
        at[i] += channel_;
        x[i] = load_vector<uint4>(x_of + at[i]);
        if (y_of) y[i] = load_vector<uint4>(y_of + at[i]);
        if (out_.update == Update::kAdd) there[i] = load_vector<uint4>(out_.grad_x + at[i]);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int row = first + i * kRowStep, column = thread_ % 32 % kChunks * N;
        chunks[i] = load_vector<uint4>(staged + row * Product::template kStagingRow<T> + column);
      }
      if (out_.update == Update::kAdd) {
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) chunks[i] = sum_of_chunks<T>(there[i], chunks[i]);
      }
      if (y_of) {
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) add<true>(x[i], y[i], chunks[i]);
      } else {
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) add<false>(x[i], y[i], chunks[i]);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        if (at[i] >= 0) store_vector(out_.grad_x + at[i], chunks[i]);
    }
  }

  /// Turns a gradient into g and adds it to the sums. The gradients of pixels that do not exist are 0.
  template <bool kFromY>
  __device__ __forceinline__ void add(const uint4& packed_x, const uint4& packed_y, uint4& chunk) {
    float grad[N], x[N], y[N];
    unpack<T>(chunk, grad);
    unpack<T>(packed_x, x);
    if constexpr (kFromY) unpack<T>(packed_y, y);
#pragma unroll
    for (int e = 0; e < N; ++e) {
      if constexpr (!kFromY) y[e] = batch_norm_affine(x[e], channels_.mean[e], channels_.scale[e], channels_.beta[e]);
      grad[e] = y[e] > 0.0f || !norm_.relu ? grad[e] : 0.0f;
      sums_[0][e] += grad[e];
      sums_[1][e] = __fmaf_rn(grad[e], x[e] - channels_.mean[e], sums_[1][e]);
    }
    chunk = pack<T>(grad);
  }

  /// Sums over the lanes, the warps and the blocks. All threads of Block call it.
  __device__ __forceinline__ void store_sums(int group, void* shared) {
    auto& columns = *static_cast<float(*)[2][Block::kWarpsM][Block::kN]>(shared);
#pragma unroll
    for (int kind = 0; kind < 2; ++kind) {
#pragma unroll
      for (int e = 0; e < N; ++e) {
        float sum = sums_[kind][e];
#pragma unroll
        for (int distance = kChunks; distance < 32; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
        if (thread_ % 32 < kChunks) columns[kind][warp_m()][column_ + e] = sum;
      }
    }
    Block::sync();
    const int channel = tile_.remainder * Block::kN + thread_;
    if (thread_ < Block::kN && channel < out_.channels) {
      float sums[2] = {};
#pragma unroll
      for (int kind = 0; kind < 2; ++kind) {
#pragma unroll
        for (int warp = 0; warp < Block::kWarpsM; ++warp) sums[kind] += columns[kind][warp][thread_];
      }
      store_pair_of_group(norm_.sums, group, channel, sums[0], sums[1]);
    }
    PairCombination<Pair::kSums, Block, Block::kN> combination(norm_.sums, group, tile_.remainder, channel_tiles_);
    combination.begin();
    combination.finish(static_cast<double*>(shared));
  }

  const InputGradient<T>& out_;
  const NormOfInput& norm_;
  int thread_;
  Divisor::Result tile_;  // of pixels, and of channels
  int channel_tiles_;
  int column_, channel_;  // the lane's first one, in the block and in all
  ChannelValues<N> channels_;
  float sums_[2][N] = {};
};

/// The epilogue of the gradient of a convolution's input. Product: a BlockProduct of Block.
template <typename Block, typename Product, Copy kCopy, typename Residue, typename T>
__device__ __forceinline__ void finish_backward_input(void* shared, const typename Product::Sums& sums,
                                                      const Residue& residue, int first_pixel, int first_channel,
                                                      const Divisor& by_channel_tiles, const InputGradient<T>& out) {
  if constexpr (kCopy == Copy::kVector) {
    if (out.norm.sums.result) {
      NormEpilogue<T, Block, Product>(out, by_channel_tiles).run(shared, sums, residue);
      return;
    }
  }
  const auto row_begin = [&](int row) -> T* {
    const int at = pixel_offset(residue, out, first_pixel + row);
    return at < 0 ? nullptr : out.grad_x + at + first_channel;
  };
  Product::template store_sums<T, kCopy>(shared, sums, out.channels - first_channel, out.channels % kVector<T> == 0,
                                         row_begin, out.update);
}

}  // namespace gradamp::GRADAMP_GPU
