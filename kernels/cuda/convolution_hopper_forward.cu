// SPDX-License-Identifier: MIT
// Convolution forward by wgmma: y (pixels, K) = im2col(x) (pixels, R S C) filter^T.
//     a: windows of x by im2col loads, pixels x channels     b: the filter (K, R S, C), boxes of channels x 1 tap x K
#include "gradamp/kernels/cuda/convolution_epilogue.h"
#include "gradamp/kernels/cuda/convolution_hopper.h"
#include "gradamp/kernels/cuda/hopper_tile.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Block: a tile of pixels x output channels. Consecutive blocks share the pixels.
template <int kN>
__global__ void __launch_bounds__((HopperTile<128, kN>::kLaunchThreads), (HopperTile<128, kN>::kResidentBlocks))
    hopper_forward_kernel(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap filter,
                          const __grid_constant__ WindowWalk walk, const __grid_constant__ TapPieces pieces, int stages,
                          const __grid_constant__ Divisor by_channel_tiles,
                          const __grid_constant__ ForwardOutput<bf16> out) {
#if defined(GRADAMP_SM90A)
  using Block = HopperTile<128, kN>;
  using Product = HopperProduct<Block, Major::kK, Major::kK>;
  DYNAMIC_SHARED_1024(char, shared);
  const auto tile = by_channel_tiles.divide(static_cast<int>(blockIdx.x));
  const auto load = [&](int stage, char* a, char* b, std::uint64_t* barrier) {
    const WindowWalk::Place from = walk.place(tile.quotient * Block::kM);
    const TapPieces::Place at = pieces.place(stage);
    load_im2col(a, &x, barrier, at.channel, from.w, from.h, from.image, at.s, at.r);
    load_box_3d(b, &filter, barrier, at.channel, at.r * pieces.by_taps_of_row.value() + at.s, tile.remainder * kN);
  };
  typename Product::Sums sums = {};
  if (!Product::accumulate(shared, stages, sums, load)) return;
  finish_forward<Block, typename Product::Store, Copy::kVector>(shared, sums, tile, by_channel_tiles.value(), out);
#endif
}

template <int kN>
void launch_forward(cudaStream_t stream, const ConvolutionShape& shape, const ConvolutionForward& tensors) {
  using Block = HopperTile<128, kN>;
  using Product = HopperProduct<Block, Major::kK, Major::kK>;
  const int extents[] = {shape.in_channels, shape.taps(), shape.out_channels}, box[] = {64, 1, kN};
  const TapPieces pieces(shape.in_channels, shape.kernel_w);
  const int channel_tiles = (shape.out_channels + kN - 1) / kN;
  const int pixel_tiles = (shape.pixels_out() + Block::kM - 1) / Block::kM;
  launch(hopper_forward_kernel<kN>,
         {static_cast<unsigned>(channel_tiles * pixel_tiles), Block::kLaunchThreads, Product::kSharedBytes, stream},
         map_of_input(shape, tensors.x, Block::kM), tiled_map(tensors.filter, 3, extents, box), walk_of_input(shape),
         pieces, shape.taps() * pieces.count, Divisor(channel_tiles),
         ForwardOutput<bf16>{static_cast<bf16*>(tensors.y), tensors.bias, tensors.moments, shape.pixels_out(),
                             shape.out_channels});
}

}  // namespace

bool hopper_suits(const ConvolutionShape& shape) {
  const auto within = [](int kernel, int padding) { return kernel <= 64 && padding <= 64; };
  return shape.in_channels % 8 == 0 && shape.out_channels % 8 == 0 && within(shape.kernel_h, shape.padding) &&
         within(shape.kernel_w, shape.padding) && shape.stride <= 8;
}

bool hopper_suits_backward_filter(const ConvolutionShape& shape) {
  return hopper_suits(shape) && shape.in_channels % 64 == 0;
}

void launch_hopper_convolution(cudaStream_t stream, const ConvolutionShape& shape, const ConvolutionForward& tensors) {
  shape.out_channels > 64 ? launch_forward<128>(stream, shape, tensors) : launch_forward<64>(stream, shape, tensors);
}

}  // namespace gradamp::GRADAMP_GPU
