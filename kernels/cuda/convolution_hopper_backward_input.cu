// SPDX-License-Identifier: MIT
// The gradient of a convolution's input (input_gradient.h) by wgmma.
//     a: windows of grad_y by im2col loads, a map for each stride residue     b: the filter (K, R S, C), boxes of
//        channels x 1 tap x 64 K: its rows are depths, so no transposed copy is needed
#include <algorithm>

#include "gradamp/kernels/cuda/convolution_hopper.h"
#include "gradamp/kernels/cuda/hopper_tile.h"
#include "gradamp/kernels/cuda/input_gradient.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// A stride residue as a matrix product.
struct HopperResidue : StridePixels {
  TensorMap grad_y;
  WindowWalk walk;
  TapPieces pieces;
  int pixels;
  int stages, taps_h, taps_w, first_r, first_s;

  __host__ __device__ int rows() const { return pixels; }
  __device__ __forceinline__ auto window(int pixel) const { return walk.window(pixel); }
};
struct HopperResidues {
  HopperResidue residues[kMaxResidues];
};

/// Block: a tile of pixels x input channels of one stride residue, blockIdx.y.
template <int kN>
__global__ void __launch_bounds__((HopperTile<128, kN>::kLaunchThreads), (HopperTile<128, kN>::kResidentBlocks))
    hopper_backward_input_kernel(const __grid_constant__ HopperResidues all, const __grid_constant__ TensorMap filter,
                                 int taps_of_row, const __grid_constant__ Divisor by_channel_tiles,
                                 const __grid_constant__ InputGradient<bf16> out) {
#if defined(GRADAMP_SM90A)
  using Block = HopperTile<128, kN>;
  using Product = HopperProduct<Block, Major::kK, Major::kMN>;
  DYNAMIC_SHARED_1024(char, shared);
  const HopperResidue& residue = all.residues[blockIdx.y];
  const auto [pixel_tile, channel_tile] = by_channel_tiles.divide(static_cast<int>(blockIdx.x));
  const int first_pixel = pixel_tile * Block::kM, first_channel = channel_tile * kN;
  if (first_pixel >= residue.rows()) return;  // this residue has fewer pixels
  const auto load = [&](int stage, char* a, char* b, std::uint64_t* barrier) {
    const WindowWalk::Place from = residue.walk.place(first_pixel);
    const TapPieces::Place at = residue.pieces.place(stage);
    load_im2col(a, &residue.grad_y, barrier, at.channel, from.w, from.h, from.image, residue.taps_w - 1 - at.s,
                residue.taps_h - 1 - at.r);
    const int r = residue.first_r + at.r * out.stride, s = residue.first_s + at.s * out.stride;
#pragma unroll
    for (int part = 0; part < kN / 64; ++part) {
      load_box_3d(b + part * Product::kBoxBytes, &filter, barrier, first_channel + part * 64, r * taps_of_row + s,
                  at.channel);
    }
  };
  if (out.norm.sums.result && static_cast<int>(threadIdx.x) < Block::kThreads) {
    NormEpilogue<bf16, Block, typename Product::Store>::prefetch(out, residue, first_pixel, first_channel);
  }
  typename Product::Sums sums = {};
  if (!Product::accumulate(shared, residue.stages, sums, load)) return;
  finish_backward_input<Block, typename Product::Store, Copy::kVector>(shared, sums, residue, first_pixel,
                                                                       first_channel, by_channel_tiles, out);
#endif
}

/// The residue's pixel i reads grad_y at i + origin - tap for its taps 0, 1, ... TMA's offsets are not negative, so its
/// windows begin at the last tap.
HopperResidue hopper_residue(const ConvolutionShape& shape, const void* grad_y, int row, int column) {
  const ResidueSide h = residue_side(row, shape.height, shape.kernel_h, shape.stride, shape.padding);
  const ResidueSide w = residue_side(column, shape.width, shape.kernel_w, shape.stride, shape.padding);
  HopperResidue result{};
  result.row = row;
  result.column = column;
  result.pixels = shape.batch * h.pixels * w.pixels;
  result.walk = {Divisor(std::max(1, h.pixels * w.pixels)), Divisor(std::max(1, w.pixels)), 1, h.origin - (h.taps - 1),
                 w.origin - (w.taps - 1)};
  result.pieces = TapPieces(shape.out_channels, w.taps);
  result.taps_h = h.taps;
  result.taps_w = w.taps;
  result.first_r = h.first_tap;
  result.first_s = w.first_tap;
  if (h.taps * w.taps == 0 || result.pixels == 0) return result;  // no stages: zeros
  result.stages = h.taps * w.taps * result.pieces.count;
  result.grad_y = im2col_map(grad_y, {.batch = shape.batch,
                                      .height = shape.out_height,
                                      .width = shape.out_width,
                                      .channels = shape.out_channels,
                                      .stride = 1,
                                      .lower_h = result.walk.lower_h,
                                      .lower_w = result.walk.lower_w,
                                      .upper_h = h.pixels - shape.out_height + result.walk.lower_h,
                                      .upper_w = w.pixels - shape.out_width + result.walk.lower_w,
                                      .pixels = kGroupRows});
  return result;
}

template <int kN>
void launch_backward_input(cudaStream_t stream, const ConvolutionShape& shape,
                           const ConvolutionBackwardInput& tensors) {
  using Block = HopperTile<128, kN>;
  using Product = HopperProduct<Block, Major::kK, Major::kMN>;
  static_assert(Block::kM == kGroupRows);
  const int extents[] = {shape.in_channels, shape.taps(), shape.out_channels}, box[] = {64, 1, 64};
  const TensorMap filter = tiled_map(tensors.filter, 3, extents, box);
  const int channel_tiles = tiles_of(shape.in_channels, kN);
  const auto make = [&](int row, int column) { return hopper_residue(shape, tensors.grad_y, row, column); };
  for_residues<HopperResidues>(shape, make, [&](const HopperResidues& all, const ResidueLaunch& which) {
    launch(hopper_backward_input_kernel<kN>,
           {dim3(static_cast<unsigned>(which.pixel_tiles * channel_tiles), static_cast<unsigned>(which.count)),
            Block::kLaunchThreads, Product::kSharedBytes, stream},
           all, filter, shape.kernel_w, Divisor(channel_tiles), input_gradient<bf16>(shape, tensors));
  });
}

}  // namespace

void launch_hopper_backward_input(cudaStream_t stream, const ConvolutionShape& shape,
                                  const ConvolutionBackwardInput& tensors) {
  shape.in_channels > 64 ? launch_backward_input<128>(stream, shape, tensors)
                         : launch_backward_input<64>(stream, shape, tensors);
}

}  // namespace gradamp::GRADAMP_GPU
