// SPDX-License-Identifier: MIT
// Convolution forward: y (pixels, K) = im2col(x) (pixels, R S C) filter^T. The epilogue also computes the moments of y
// that a following batch norm needs.
#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_epilogue.h"
#include "gradamp/kernels/cuda/convolution_tile.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Block: a tile of pixels x output channels. Consecutive blocks share the pixels.
template <Precision kPrecision, typename Block, Copy kCopy>
__global__ void __launch_bounds__(Block::kThreads, (resident_blocks<kPrecision, Block, kCopy>()))
    forward_kernel(const __grid_constant__ Im2colSource<Element<kPrecision>> im2col,
                   const __grid_constant__ MatrixSource<Element<kPrecision>> filter,
                   const __grid_constant__ Divisor by_channel_tiles,
                   const __grid_constant__ ForwardOutput<Element<kPrecision>> out) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kK>;
  DYNAMIC_SHARED(T, shared);
  const auto tile = by_channel_tiles.divide(static_cast<int>(blockIdx.x));

  typename Product::template LoaderA<Im2colSource<T>, kCopy> a(im2col, tile.quotient * Block::kM);
  typename Product::template LoaderB<MatrixSource<T>, kCopy> b(filter, tile.remainder * Block::kN);
  typename Product::Sums sums = {};
  Product::accumulate(shared, a, b, 0, (im2col.columns + kStageDepth<T> - 1) / kStageDepth<T>, sums);
  finish_forward<Block, Product, kCopy>(shared, sums, tile, by_channel_tiles.value(), out);
}

template <Precision kPrecision, typename Block, Copy kCopy>
void launch_forward(cudaStream_t stream, const ConvolutionShape& shape, const ConvolutionForward& tensors) {
  using T = Element<kPrecision>;
  const Im2colSource<T> im2col = im2col_of_input<T>(shape, tensors.x);
  const MatrixSource<T> filter{static_cast<const T*>(tensors.filter), shape.out_channels, im2col.columns};
  const ForwardOutput<T> out{static_cast<T*>(tensors.y), tensors.bias, tensors.moments, shape.pixels_out(),
                             shape.out_channels};
  const int channel_tiles = (shape.out_channels + Block::kN - 1) / Block::kN;
  const int pixel_tiles = (shape.pixels_out() + Block::kM - 1) / Block::kM;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kK>;
  launch(
      forward_kernel<kPrecision, Block, kCopy>,
      {static_cast<unsigned>(channel_tiles * pixel_tiles), Block::kThreads, Product::template kSharedBytes<T>, stream},
      im2col, filter, Divisor(channel_tiles), out);
}

template <Precision kPrecision>
void launch_forward(cudaStream_t stream, const ConvolutionShape& shape, const ConvolutionForward& tensors) {
  using T = Element<kPrecision>;
  if (shape.in_channels % kVector<T> != 0 || shape.out_channels % kVector<T> != 0) {
    launch_forward<kPrecision, BlockTile<128, 64, 2>, Copy::kElement>(stream, shape, tensors);
    return;
  }
  with_tile_width<kPrecision>(shape.pixels_out(), shape.out_channels, [&](auto block) {
    launch_forward<kPrecision, decltype(block), Copy::kVector>(stream, shape, tensors);
  });
}

}  // namespace

void launch_convolution(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                        const ConvolutionForward& tensors) {
  switch (precision) {
    case Precision::kF32: return launch_forward<Precision::kF32>(stream, shape, tensors);
    case Precision::kTF32: return launch_forward<Precision::kTF32>(stream, shape, tensors);
    case Precision::kBF16: return launch_forward<Precision::kBF16>(stream, shape, tensors);
  }
}

}  // namespace gradamp::GRADAMP_GPU
