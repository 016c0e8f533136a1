// SPDX-License-Identifier: MIT
// The gradient of a convolution's input. A pixel of x receives gradient from every y pixel whose window covers it. With
// stride s, the pixels at (a, b) modulo s receive through every s-th tap only. So each of these s^2 stride residues is
// a dense product of its own: grad_x (pixels of the residue, C) = im2col(grad_y) (.., taps K) filter (taps K, C). No
// product has a zero factor that the stride would insert.
#include <algorithm>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_tile.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Maximum number of stride residues per launch.
constexpr int kMaxResidues = 4;

/// The pixels of x at (row, column) modulo the stride, as a matrix product.
template <typename T, bool kWholeStages>
struct StrideResidue {
  Im2colSource<T> im2col;  // over grad_y
  FilterSource<T, kWholeStages> filter;
  int row, column;
};

template <typename T, bool kWholeStages>
struct StrideResidues {
  StrideResidue<T, kWholeStages> residues[kMaxResidues];
};

template <typename T>
struct InputGradient {
  T* grad_x;
  Update update;
  int height, width, channels, stride;
};

/// Block: a tile of pixels x input channels of one stride residue, blockIdx.y.
template <Precision kPrecision, typename Block, Copy kCopy, bool kWholeStages>
__global__ void __launch_bounds__(Block::kThreads, (resident_blocks<kPrecision, Block, kCopy>()))
    backward_input_kernel(const __grid_constant__ StrideResidues<Element<kPrecision>, kWholeStages> all,
                          Divisor by_channel_tiles, InputGradient<Element<kPrecision>> out) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kMN>;
  DYNAMIC_SHARED(T, shared);
  const StrideResidue<T, kWholeStages>& residue = all.residues[blockIdx.y];
  const auto [pixel_tile, channel_tile] = by_channel_tiles.divide(static_cast<int>(blockIdx.x));
  const int first_pixel = pixel_tile * Block::kM, first_channel = channel_tile * Block::kN;
  if (first_pixel >= residue.im2col.rows) return;  // this residue has fewer pixels

  typename Product::template LoaderA<Im2colSource<T>, kCopy> a(residue.im2col, first_pixel);
  typename Product::template LoaderB<FilterSource<T, kWholeStages>, kCopy> b(residue.filter, first_channel);
  typename Product::Sums sums = {};
  Product::accumulate(shared, a, b, 0, (residue.im2col.columns + kStageDepth<T> - 1) / kStageDepth<T>, sums);

  const auto row_begin = [&](int row) -> T* {
    if (first_pixel + row >= residue.im2col.rows) return nullptr;
    const auto at = residue.im2col.window(first_pixel + row);
    const int h = residue.row + at.i * out.stride, w = residue.column + at.j * out.stride;
    return out.grad_x + ((std::int64_t{at.image} * out.height + h) * out.width + w) * out.channels + first_channel;
  };
  Product::template store_sums<T, kCopy>(shared, sums, out.channels - first_channel, out.channels % kVector<T> == 0,
                                         row_begin, out.update);
}

/// One dimension (height or width) of a stride residue: its taps, and where it begins to read grad_y.
struct ResidueSide {
  int pixels;     // per image
  int first_tap;  // then every stride-th
  int taps;
  int origin;  // the pixel of y that meets pixel 0 of the residue at first_tap
};

ResidueSide residue_side(int residue, int extent, int kernel, int stride, int padding) {
  ResidueSide side;
  side.pixels = std::max(0, (extent - residue + stride - 1) / stride);
  side.first_tap = (residue + padding) % stride;
  side.taps = side.first_tap < kernel ? (kernel - side.first_tap + stride - 1) / stride : 0;
  side.origin = (residue + padding - side.first_tap) / stride;
  return side;
}

template <typename T, bool kWholeStages>
StrideResidue<T, kWholeStages> stride_residue(const ConvolutionShape& shape, const T* grad_y, const T* filter, int row,
                                              int column) {
  const ResidueSide h = residue_side(row, shape.height, shape.kernel_h, shape.stride, shape.padding);
  const ResidueSide w = residue_side(column, shape.width, shape.kernel_w, shape.stride, shape.padding);
  const Divisor by_out_channels(shape.out_channels), by_taps_of_row(std::max(1, w.taps));
  StrideResidue<T, kWholeStages> result{};
  result.row = row;
  result.column = column;
  result.im2col = {.image = grad_y,
                   .height = shape.out_height,
                   .width = shape.out_width,
                   .channels = shape.out_channels,
                   .rows = shape.batch * h.pixels * w.pixels,
                   .by_windows_of_image = Divisor(std::max(1, h.pixels * w.pixels)),
                   .by_windows_of_row = Divisor(std::max(1, w.pixels)),
                   .columns = h.taps * w.taps * shape.out_channels,
                   .by_channels = by_out_channels,
                   .by_taps_of_row = by_taps_of_row,
                   .step = 1,
                   .origin_h = h.origin,
                   .origin_w = w.origin,
                   .tap_step = -1};
  result.filter = {.filter = filter,
                   .taps = shape.taps(),
                   .taps_of_row = shape.kernel_w,
                   .channels = shape.in_channels,
                   .rows = result.im2col.columns,
                   .by_out_channels = by_out_channels,
                   .by_taps_of_row = by_taps_of_row,
                   .first_r = h.first_tap,
                   .first_s = w.first_tap,
                   .tap_step = shape.stride};
  return result;
}

template <Precision kPrecision, typename Block, Copy kCopy, bool kWholeStages>
void launch_backward_input(cudaStream_t stream, const ConvolutionShape& shape, const void* grad_y, const void* filter,
                           Update update, void* grad_x) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kMN>;
  const InputGradient<T> out{static_cast<T*>(grad_x), update,      shape.height, shape.width,
                             shape.in_channels,       shape.stride};
  const int channel_tiles = (shape.in_channels + Block::kN - 1) / Block::kN;
  for (int first = 0; first < shape.stride * shape.stride; first += kMaxResidues) {
    const int count = std::min(kMaxResidues, shape.stride * shape.stride - first);
    StrideResidues<T, kWholeStages> all{};
    int pixels = 0;
    for (int i = 0; i < count; ++i) {
      // With the usual padding the last residue has the most taps. Its blocks run longest, so they start first.
      const int index = first + count - 1 - i;
      all.residues[i] =
          stride_residue<T, kWholeStages>(shape, static_cast<const T*>(grad_y), static_cast<const T*>(filter),
                                          index / shape.stride, index % shape.stride);
      pixels = std::max(pixels, all.residues[i].im2col.rows);
    }
    if (pixels == 0) continue;
    const int tiles = (pixels + Block::kM - 1) / Block::kM * channel_tiles;
    launch(backward_input_kernel<kPrecision, Block, kCopy, kWholeStages>,
           {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(count)), Block::kThreads,
            Product::template kSharedBytes<T>, stream},
           all, Divisor(channel_tiles), out);
  }
}

template <Precision kPrecision>
void launch_backward_input(cudaStream_t stream, const ConvolutionShape& shape, const void* grad_y, const void* filter,
                           Update update, void* grad_x) {
  constexpr int V = kVector<Element<kPrecision>>;
  if (shape.in_channels % V != 0 || shape.out_channels % V != 0) {
    launch_backward_input<kPrecision, BlockTile<128, 64, 2>, Copy::kElement, false>(stream, shape, grad_y, filter,
                                                                                    update, grad_x);
    return;
  }
  const bool whole_stages = shape.out_channels % kStageDepth<Element<kPrecision>> == 0;
  with_tile_width<kPrecision>(shape.batch * shape.height * shape.width, shape.in_channels, [&](auto block) {
    using Block = decltype(block);
    if (whole_stages) {
      launch_backward_input<kPrecision, Block, Copy::kVector, true>(stream, shape, grad_y, filter, update, grad_x);
    } else {
      launch_backward_input<kPrecision, Block, Copy::kVector, false>(stream, shape, grad_y, filter, update, grad_x);
    }
  });
}

}  // namespace

void launch_convolution_backward_input(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                                       const void* grad_y, const void* filter, Update update, void* grad_x) {
  switch (precision) {
    case Precision::kF32: return launch_backward_input<Precision::kF32>(stream, shape, grad_y, filter, update, grad_x);
    case Precision::kTF32:
      return launch_backward_input<Precision::kTF32>(stream, shape, grad_y, filter, update, grad_x);
    case Precision::kBF16:
      return launch_backward_input<Precision::kBF16>(stream, shape, grad_y, filter, update, grad_x);
  }
}

}  // namespace gradamp::GRADAMP_GPU
