// SPDX-License-Identifier: MIT
// Convolution forward: y (pixels, K) = im2col(x) (pixels, R S C) filter^T. The epilogue also computes the moments of y
// that a following batch norm needs.
#include "gradamp/kernels/cuda/combine_pairs.h"
#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/reduce.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Destination of the accumulators.
template <typename T>
struct Output {
  T* y;
  const float* bias;  // or null
  ChannelPairs moments;
  int pixels, channels;
};

/// Adds the bias. A lane holds the columns 8 j + 2 member + parity of its warp's accumulators (ptx.h).
template <typename Sums, int kTilesM, int kTilesN>
__device__ void add_bias(const float* bias, int first_channel, int channels, Sums& sums) {
#pragma unroll
  for (int j = 0; j < kTilesN; ++j) {
#pragma unroll
    for (int parity = 0; parity < 2; ++parity) {
      const int channel = first_channel + j * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + parity;
      const float value = channel < channels ? bias[channel] : 0.0f;
#pragma unroll
      for (int i = 0; i < kTilesM; ++i) {
        sums[i][j][parity] += value;
        sums[i][j][parity + 2] += value;
      }
    }
  }
}

/// Mean and squared deviations of the block's columns over its rows: a group of ChannelPairs.
template <typename Block>
struct BlockMoments {
  static_assert(Block::kM == kGroupRows);
  float (&columns)[Block::kWarpsM][Block::kN];  // shared

  /// Sums value(i, j, e) over all rows of the block, for each of a lane's columns: totals[j][parity].
  template <typename Value>
  __device__ void sum_columns(const Value& value, float (&totals)[Block::kTilesN][2]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int j = 0; j < Block::kTilesN; ++j) {
#pragma unroll
      for (int parity = 0; parity < 2; ++parity) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < Block::kTilesM; ++i) sum += value(i, j, parity) + value(i, j, parity + 2);
#pragma unroll
        for (int distance = 4; distance < 32; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
        if (lane < 4) columns[Block::warp_m()][Block::warp_n() * Block::kWarpN + j * 8 + lane * 2 + parity] = sum;
      }
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < Block::kTilesN; ++j) {
#pragma unroll
      for (int parity = 0; parity < 2; ++parity) {
        totals[j][parity] = 0;
        for (int warp = 0; warp < Block::kWarpsM; ++warp)
          totals[j][parity] += columns[warp][Block::warp_n() * Block::kWarpN + j * 8 + lane % 4 * 2 + parity];
      }
    }
    __syncthreads();  // `columns` may be overwritten now
  }

  /// Stores the moments. `first_row` and `first_channel` are the block's.
  template <typename Sums, typename Out>
  __device__ void store(const Sums& sums, int first_row, int first_channel, const Output<Out>& out) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int rows = min(Block::kM, out.pixels - first_row);
    const auto exists = [&](int i, int e) {
      return Block::warp_m() * Block::kWarpM + i * 16 + e / 2 * 8 + lane / 4 < rows;
    };
    float means[Block::kTilesN][2], deviations[Block::kTilesN][2];
    sum_columns([&](int i, int j, int e) { return exists(i, e) ? sums[i][j][e] : 0.0f; }, means);
    const float share = 1.0f / static_cast<float>(rows);
#pragma unroll
    for (auto& pair : means)
      for (float& mean : pair) mean *= share;
    sum_columns(
        [&](int i, int j, int e) {
          const float d = exists(i, e) ? sums[i][j][e] - means[j][e % 2] : 0.0f;
          return d * d;
        },
        deviations);
    if (Block::warp_m() != 0 || lane >= 4) return;
#pragma unroll
    for (int j = 0; j < Block::kTilesN; ++j) {
#pragma unroll
      for (int parity = 0; parity < 2; ++parity) {
        const int channel = first_channel + Block::warp_n() * Block::kWarpN + j * 8 + lane * 2 + parity;
        if (channel < out.channels)
          store_pair_of_group(out.moments, first_row / kGroupRows, channel, means[j][parity], deviations[j][parity]);
      }
    }
  }
};

/// Block: a tile of pixels x output channels. Consecutive blocks share the pixels.
template <Precision kPrecision, typename Block, Copy kCopy>
__global__ void __launch_bounds__(Block::kThreads, (resident_blocks<kPrecision, Block, kCopy>()))
    forward_kernel(const __grid_constant__ Im2colSource<Element<kPrecision>> im2col,
                   const __grid_constant__ MatrixSource<Element<kPrecision>> filter, Divisor by_channel_tiles,
                   Output<Element<kPrecision>> out) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kK>;
  DYNAMIC_SHARED(T, shared);
  const auto [pixel_tile, channel_tile] = by_channel_tiles.divide(static_cast<int>(blockIdx.x));
  const int first_pixel = pixel_tile * Block::kM, first_channel = channel_tile * Block::kN;

  typename Product::template LoaderA<Im2colSource<T>, kCopy> a(im2col, first_pixel);
  typename Product::template LoaderB<MatrixSource<T>, kCopy> b(filter, first_channel);
  typename Product::Sums sums = {};
  Product::accumulate(shared, a, b, 0, (im2col.columns + kStageDepth<T> - 1) / kStageDepth<T>, sums);

  if (out.bias) {
    add_bias<decltype(sums), Block::kTilesM, Block::kTilesN>(out.bias, first_channel + Block::warp_n() * Block::kWarpN,
                                                             out.channels, sums);
  }
  if (out.moments.result) {
    auto& columns = *reinterpret_cast<float(*)[Block::kWarpsM][Block::kN]>(shared);
    BlockMoments<Block>{columns}.store(sums, first_pixel, first_channel, out);
  }
  const auto row_begin = [&](int row) -> T* {
    const int pixel = first_pixel + row;
    return pixel < out.pixels ? out.y + std::int64_t{pixel} * out.channels + first_channel : nullptr;
  };
  Product::template store_sums<T, kCopy>(shared, sums, out.channels - first_channel, out.channels % kVector<T> == 0,
                                         row_begin);
  if (out.moments.result) {
    PairCombination<Pair::kMoments, Block::kThreads, Block::kN>::run(
        out.moments, pixel_tile, channel_tile, by_channel_tiles.value(), reinterpret_cast<double*>(shared));
  }
}

template <Precision kPrecision, typename Block, Copy kCopy>
void launch_forward(cudaStream_t stream, const ConvolutionShape& shape, const ConvolutionForward& tensors) {
  using T = Element<kPrecision>;
  const Im2colSource<T> im2col = im2col_of_input<T>(shape, tensors.x);
  const MatrixSource<T> filter{static_cast<const T*>(tensors.filter), shape.out_channels, im2col.columns};
  const Output<T> out{static_cast<T*>(tensors.y), tensors.bias, tensors.moments, shape.pixels_out(),
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
