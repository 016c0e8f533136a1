// SPDX-License-Identifier: MIT
// The gradient of a convolution's filter by wgmma: grad_filter (K, R S C) = grad_y (pixels, K)^T im2col(x) (pixels,
// R S C). filter_gradient.h: how the pixels are split among blocks.
//     a: grad_y (pixels, K), boxes of 64 pixels x 64 K     b: windows of x by im2col loads, 64 pixels x 64 channels
// The rows of both are depths.
#include <algorithm>

#include "gradamp/kernels/cuda/convolution_hopper.h"
#include "gradamp/kernels/cuda/filter_gradient.h"
#include "gradamp/kernels/cuda/hopper_tile.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kColumnsOfBlock = 128;

/// Output channels per block.
int rows_of_block(const ConvolutionShape& shape) { return shape.out_channels > 64 ? 128 : 64; }

PixelSplit split_pixels(const ConvolutionShape& shape) {
  constexpr int kMultiprocessors = 132;  // of an H100 or H200
  const int rows = rows_of_block(shape), columns = shape.taps() * shape.in_channels;
  const int tiles = (shape.out_channels + rows - 1) / rows * ((columns + kColumnsOfBlock - 1) / kColumnsOfBlock);
  const int resident_blocks = rows == 128 ? HopperTile<128, kColumnsOfBlock>::kResidentBlocks
                                          : HopperTile<64, kColumnsOfBlock>::kResidentBlocks;
  return split_pixels(shape, 64, 4, tiles, kMultiprocessors * resident_blocks);
}

/// The result, or a part of it: (K, R S C).
struct PartialFilter {
  float* parts;
  int out_channels, columns;
};

/// Block: a tile of output channels x (tap, input channel) for one part of the pixels.
template <int kM>
__global__ void __launch_bounds__((HopperTile<kM, kColumnsOfBlock>::kLaunchThreads),
                                  (HopperTile<kM, kColumnsOfBlock>::kResidentBlocks))
    hopper_backward_filter_kernel(const __grid_constant__ TensorMap grad_y, const __grid_constant__ TensorMap x,
                                  const __grid_constant__ WindowWalk walk, const __grid_constant__ TapPieces pieces,
                                  int pixels, int pixels_of_part, const __grid_constant__ PartialFilter out) {
#if defined(GRADAMP_SM90A)
  using Block = HopperTile<kM, kColumnsOfBlock>;
  using Product = HopperProduct<Block, Major::kMN, Major::kMN>;
  DYNAMIC_SHARED_1024(char, shared);
  const int first_row = static_cast<int>(blockIdx.y) * kM, first_column = static_cast<int>(blockIdx.x) * Block::kN;
  const int first_pixel = static_cast<int>(blockIdx.z) * pixels_of_part;
  const int count = min(pixels_of_part, pixels - first_pixel);
  const auto load = [&](int stage, char* a, char* b, std::uint64_t* barrier) {
    const int pixel = first_pixel + stage * Product::kDepth;
#pragma unroll
    for (int part = 0; part < kM / 64; ++part)
      load_box_2d(a + part * Product::kBoxBytes, &grad_y, barrier, first_row + part * 64, pixel);
    const WindowWalk::Place from = walk.place(pixel);
#pragma unroll
    for (int part = 0; part < Block::kN / 64; ++part) {
      // Behind the last tap these are values for sums that are not stored.
      const TapPieces::Place at = pieces.place(first_column / 64 + part);
      load_im2col(b + part * Product::kBoxBytes, &x, barrier, at.channel, from.w, from.h, from.image, at.s, at.r);
    }
  };
  typename Product::Sums sums = {};
  if (!Product::accumulate(shared, (count + Product::kDepth - 1) / Product::kDepth, sums, load)) return;

  float* const part = out.parts + std::int64_t{blockIdx.z} * out.out_channels * out.columns;
  const auto row_begin = [&](int row) -> float* {
    const int channel = first_row + row;
    return channel < out.out_channels ? part + std::int64_t{channel} * out.columns + first_column : nullptr;
  };
  Product::Store::template store_sums<float, Copy::kVector>(shared, sums, out.columns - first_column, true, row_begin);
#endif
}

template <int kM>
void launch_backward_filter(cudaStream_t stream, const ConvolutionShape& shape, const void* x, const void* grad_y,
                            float* grad_filter, float* workspace) {
  using Block = HopperTile<kM, kColumnsOfBlock>;
  using Product = HopperProduct<Block, Major::kMN, Major::kMN>;
  const int extents[] = {shape.out_channels, shape.pixels_out()}, box[] = {64, 64};
  const int columns = shape.taps() * shape.in_channels;
  const PixelSplit split = split_pixels(shape);
  float* const parts = split.parts > 1 ? workspace : grad_filter;
  const dim3 grid(static_cast<unsigned>((columns + Block::kN - 1) / Block::kN),
                  static_cast<unsigned>((shape.out_channels + kM - 1) / kM), static_cast<unsigned>(split.parts));
  launch(hopper_backward_filter_kernel<kM>, {grid, Block::kLaunchThreads, Product::kSharedBytes, stream},
         tiled_map(grad_y, 2, extents, box), map_of_input(shape, x, 64), walk_of_input(shape),
         TapPieces(shape.in_channels, shape.kernel_w), shape.pixels_out(), split.pixels_of_part,
         PartialFilter{parts, shape.out_channels, columns});
  if (split.parts > 1) launch_sum_parts(stream, split.parts, shape.out_channels * columns, parts, grad_filter);
}

}  // namespace

std::size_t hopper_backward_filter_workspace(const ConvolutionShape& shape) {
  return parts_workspace(split_pixels(shape), shape);
}

void launch_hopper_backward_filter(cudaStream_t stream, const ConvolutionShape& shape, const void* x,
                                   const void* grad_y, float* grad_filter, float* workspace) {
  rows_of_block(shape) == 128 ? launch_backward_filter<128>(stream, shape, x, grad_y, grad_filter, workspace)
                              : launch_backward_filter<64>(stream, shape, x, grad_y, grad_filter, workspace);
}

}  // namespace gradamp::GRADAMP_GPU
