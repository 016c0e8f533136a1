// SPDX-License-Identifier: MIT
// The gradient of a convolution's input (input_gradient.h) by mma.sync.
#include <algorithm>

#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/input_gradient.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// A stride residue as a matrix product.
template <typename T, bool kWholeStages>
struct StrideResidue : StridePixels {
  Im2colSource<T> im2col;  // over grad_y
  FilterSource<T, kWholeStages> filter;

  __host__ __device__ int rows() const { return im2col.rows; }
  __device__ __forceinline__ auto window(int pixel) const { return im2col.window(pixel); }
};

template <typename T, bool kWholeStages>
struct StrideResidues {
  StrideResidue<T, kWholeStages> residues[kMaxResidues];
};

/// Block: a tile of pixels x input channels of one stride residue, blockIdx.y.
template <Precision kPrecision, typename Block, Copy kCopy, bool kWholeStages>
__global__ void __launch_bounds__(Block::kThreads, (resident_blocks<kPrecision, Block, kCopy>()))
    backward_input_kernel(const __grid_constant__ StrideResidues<Element<kPrecision>, kWholeStages> all,
                          const __grid_constant__ Divisor by_channel_tiles,
                          const __grid_constant__ InputGradient<Element<kPrecision>> out) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kMN>;
  DYNAMIC_SHARED(T, shared);
  const StrideResidue<T, kWholeStages>& residue = all.residues[blockIdx.y];
  const auto [pixel_tile, channel_tile] = by_channel_tiles.divide(static_cast<int>(blockIdx.x));
  const int first_pixel = pixel_tile * Block::kM, first_channel = channel_tile * Block::kN;
  if (first_pixel >= residue.rows()) return;  // this residue has fewer pixels

  typename Product::template LoaderA<Im2colSource<T>, kCopy> a(residue.im2col, first_pixel);
  typename Product::template LoaderB<FilterSource<T, kWholeStages>, kCopy> b(residue.filter, first_channel);
  if constexpr (kCopy == Copy::kVector) {
    if (out.norm.sums.result) {
      NormEpilogue<T, Block, Product>::prefetch(out, residue, first_pixel, first_channel);
    }
  }
  typename Product::Sums sums = {};
  Product::accumulate(shared, a, b, 0, (residue.im2col.columns + kStageDepth<T> - 1) / kStageDepth<T>, sums);

  finish_backward_input<Block, Product, kCopy>(shared, sums, residue, first_pixel, first_channel, by_channel_tiles,
                                               out);
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
void launch_backward_input(cudaStream_t stream, const ConvolutionShape& shape,
                           const ConvolutionBackwardInput& tensors) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kMN>;
  static_assert(Block::kM == kGroupRows);
  const int channel_tiles = tiles_of(shape.in_channels, Block::kN);
  const auto make = [&](int row, int column) {
    return stride_residue<T, kWholeStages>(shape, static_cast<const T*>(tensors.grad_y),
                                           static_cast<const T*>(tensors.filter), row, column);
  };
  using Residues = StrideResidues<T, kWholeStages>;
  for_residues<Residues>(shape, make, [&](const Residues& all, const ResidueLaunch& which) {
    launch(backward_input_kernel<kPrecision, Block, kCopy, kWholeStages>,
           {dim3(static_cast<unsigned>(which.pixel_tiles * channel_tiles), static_cast<unsigned>(which.count)),
            Block::kThreads, Product::template kSharedBytesForAll<T>, stream},
           all, Divisor(channel_tiles), input_gradient<T>(shape, tensors));
  });
}

template <Precision kPrecision>
void launch_backward_input(cudaStream_t stream, const ConvolutionShape& shape,
                           const ConvolutionBackwardInput& tensors) {
  constexpr int V = kVector<Element<kPrecision>>;
  if (shape.in_channels % V != 0 || shape.out_channels % V != 0) {
    launch_backward_input<kPrecision, BlockTile<128, 64, 2>, Copy::kElement, false>(stream, shape, tensors);
    return;
  }
  // A depth that is no whole number of stages is rare (the 16 channels of a CIFAR ResNet): one tile is enough for it.
  if (shape.out_channels % kStageDepth<Element<kPrecision>> != 0) {
    launch_backward_input<kPrecision, BlockTile<128, 32, 4>, Copy::kVector, false>(stream, shape, tensors);
    return;
  }
  with_tile_width<kPrecision>(shape.batch * shape.height * shape.width, shape.in_channels, [&](auto block) {
    launch_backward_input<kPrecision, decltype(block), Copy::kVector, true>(stream, shape, tensors);
  });
}

}  // namespace

void launch_convolution_backward_input(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                                       const ConvolutionBackwardInput& tensors) {
  switch (precision) {
    case Precision::kF32: return launch_backward_input<Precision::kF32>(stream, shape, tensors);
    case Precision::kTF32: return launch_backward_input<Precision::kTF32>(stream, shape, tensors);
    case Precision::kBF16: return launch_backward_input<Precision::kBF16>(stream, shape, tensors);
  }
}

bool backward_input_can_sum(Precision precision, const ConvolutionShape& shape) {
  const int vector = precision == Precision::kBF16 ? kVector<bf16> : kVector<float>;
  if (shape.in_channels % vector != 0 || shape.out_channels % vector != 0) return false;
  if (shape.stride * shape.stride > kMaxResidues) return false;
  int groups = 0;
  for (int row = 0; row < shape.stride; ++row) {
    for (int column = 0; column < shape.stride; ++column) {
      const int height = residue_side(row, shape.height, shape.kernel_h, shape.stride, shape.padding).pixels;
      const int width = residue_side(column, shape.width, shape.kernel_w, shape.stride, shape.padding).pixels;
      groups += tiles_of(shape.batch * height * width, kGroupRows);
    }
  }
  return groups ==
         ChannelPairs::count_groups({std::int64_t{shape.batch} * shape.height * shape.width, shape.in_channels});
}

}  // namespace gradamp::GRADAMP_GPU
