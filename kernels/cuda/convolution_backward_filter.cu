// SPDX-License-Identifier: MIT
// The gradient of a convolution's filter by mma.sync: grad_filter (K, R S C) = grad_y (pixels, K)^T im2col(x) (pixels,
// R S C). filter_gradient.h: how the pixels are split among blocks.
#include "gradamp/kernels/cuda/convolution.h"
#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/filter_gradient.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Granularity of the split, in pixels: the depth of one stage in bf16, of two in f32.
constexpr int kPixelUnit = 32;
constexpr int kColumnsOfBlock = 128;

/// Whether both operands can use 16-byte copies.
bool copies_vectors(Precision precision, const ConvolutionShape& shape) {
  const int width = precision == Precision::kBF16 ? kVector<bf16> : kVector<float>;
  return shape.in_channels % width == 0 && shape.out_channels % width == 0;
}

/// Output channels per block. FMA, and copies of single elements, need too many registers for 128.
int rows_of_block(Precision precision, const ConvolutionShape& shape) {
  const bool large = precision != Precision::kF32 && copies_vectors(precision, shape);
  return large && shape.out_channels > 64 ? 128 : 64;
}

PixelSplit split_pixels(Precision precision, const ConvolutionShape& shape) {
  constexpr int kTargetBlocks = 264;  // two per multiprocessor of a large device
  const int rows = rows_of_block(precision, shape), columns = shape.taps() * shape.in_channels;
  const int tiles = (shape.out_channels + rows - 1) / rows * ((columns + kColumnsOfBlock - 1) / kColumnsOfBlock);
  return split_pixels(shape, kPixelUnit, 8, tiles, kTargetBlocks);
}

/// Block: a tile of output channels x (tap, input channel) for one part of the pixels. partial (parts, K, R S C).
template <Precision kPrecision, typename Block, Copy kCopyA, Copy kCopyB>
__global__ void __launch_bounds__(Block::kThreads, (resident_blocks<kPrecision, Block, kCopyB>()))
    backward_filter_kernel(const __grid_constant__ MatrixSource<Element<kPrecision>> grad_y,
                           const __grid_constant__ Im2colSource<Element<kPrecision>> im2col, int pixels_of_part,
                           float* partial) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kMN, Major::kMN>;
  DYNAMIC_SHARED(T, shared);
  const int first_row = static_cast<int>(blockIdx.y) * Block::kM,
            first_column = static_cast<int>(blockIdx.x) * Block::kN;
  const int first_pixel = static_cast<int>(blockIdx.z) * pixels_of_part;
  const int pixels = min(pixels_of_part, im2col.rows - first_pixel);

  typename Product::template LoaderA<MatrixSource<T>, kCopyA> a(grad_y, first_row);
  typename Product::template LoaderB<Im2colSource<T>, kCopyB> b(im2col, first_column);
  typename Product::Sums sums = {};
  Product::accumulate(shared, a, b, first_pixel, (pixels + kStageDepth<T> - 1) / kStageDepth<T>, sums);

  float* const part = partial + std::int64_t{blockIdx.z} * grad_y.columns * im2col.columns;
  const auto row_begin = [&](int row) -> float* {
    const int channel = first_row + row;
    return channel < grad_y.columns ? part + std::int64_t{channel} * im2col.columns + first_column : nullptr;
  };
  // Part i begins at float i K R S C of `partial`: aligned if the columns are a multiple of 4.
  Product::template store_sums<float, kCopyB>(shared, sums, im2col.columns - first_column, im2col.columns % 4 == 0,
                                              row_begin);
}

constexpr int kSumThreads = 256;

/// out[i] = sum over the parts. A thread owns N elements and one of kSplits ranges of the parts, which it adds in
/// order; then the ranges' sums are added in order. A block's threads of one range own adjacent elements.
template <int N, int kSplits>
__global__ void __launch_bounds__(kSumThreads)
    sum_parts_kernel(int parts, int count, const float* partial, float* out) {
  constexpr int kOwners = kSumThreads / kSplits;
  constexpr int kAtOnce = kSplits > 1 ? 8 : 16;  // loads in flight: the kernel is bound by memory latency
  const int owner = static_cast<int>(threadIdx.x) % kOwners, range = static_cast<int>(threadIdx.x) / kOwners;
  const int i = (static_cast<int>(blockIdx.x) * kOwners + owner) * N;
  const int range_parts = (parts + kSplits - 1) / kSplits;
  const int end = min(parts, (range + 1) * range_parts);
  float sums[N] = {};
  for (int first = range * range_parts; i < count && first < end; first += kAtOnce) {
    Packed<N, float> values[kAtOnce] = {};
#pragma unroll
    for (int at = 0; at < kAtOnce; ++at) {
      if (first + at < end)
        values[at] = load_packed<N, Access::kStreaming>(partial + std::int64_t{first + at} * count + i);
    }
#pragma unroll
    for (int at = 0; at < kAtOnce; ++at) {
      if (first + at >= end) continue;
      float part[N];
      unpack<float>(values[at], part);
#pragma unroll
      for (int e = 0; e < N; ++e) sums[e] += part[e];
    }
  }
  if constexpr (kSplits > 1) {
    SHARED(shared, float[kSplits][N][kOwners]);
#pragma unroll
    for (int e = 0; e < N; ++e) shared[range][e][owner] = sums[e];
    __syncthreads();
    if (range != 0) return;
#pragma unroll
    for (int e = 0; e < N; ++e) {
      for (int other = 1; other < kSplits; ++other) sums[e] += shared[other][e][owner];
    }
  }
  if (i < count) store<N>(out + i, sums);
}

/// The tensors of a launch.
struct FilterGradient {
  const void *x, *grad_y;
  float* grad_filter;
  float* workspace;
};

template <Precision kPrecision, typename Block, Copy kCopyA, Copy kCopyB>
void launch_backward_filter(cudaStream_t stream, const ConvolutionShape& shape, const FilterGradient& tensors) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kMN, Major::kMN>;
  const MatrixSource<T> grad_y{static_cast<const T*>(tensors.grad_y), shape.pixels_out(), shape.out_channels};
  const Im2colSource<T> im2col = im2col_of_input<T>(shape, tensors.x);
  const PixelSplit split = split_pixels(kPrecision, shape);
  float* const partial = split.parts > 1 ? tensors.workspace : tensors.grad_filter;
  const dim3 grid(static_cast<unsigned>((im2col.columns + Block::kN - 1) / Block::kN),
                  static_cast<unsigned>((shape.out_channels + Block::kM - 1) / Block::kM),
                  static_cast<unsigned>(split.parts));
  launch(backward_filter_kernel<kPrecision, Block, kCopyA, kCopyB>,
         {grid, Block::kThreads, Product::template kSharedBytes<float>, stream}, grad_y, im2col, split.pixels_of_part,
         partial);
  if (split.parts > 1)
    launch_sum_parts(stream, split.parts, shape.out_channels * im2col.columns, partial, tensors.grad_filter);
}

template <Precision kPrecision>
void launch_backward_filter(cudaStream_t stream, const ConvolutionShape& shape, const FilterGradient& tensors) {
  using Small = BlockTile<64, kColumnsOfBlock, 1>;
  if constexpr (kPrecision != Precision::kF32) {
    if (rows_of_block(kPrecision, shape) == 128) {
      using Large = BlockTile<128, kColumnsOfBlock, 2>;
      return launch_backward_filter<kPrecision, Large, Copy::kVector, Copy::kVector>(stream, shape, tensors);
    }
  }
  if (copies_vectors(kPrecision, shape)) {
    launch_backward_filter<kPrecision, Small, Copy::kVector, Copy::kVector>(stream, shape, tensors);
  } else if (shape.out_channels % kVector<Element<kPrecision>> == 0) {  // the stem: 3 input channels
    launch_backward_filter<kPrecision, Small, Copy::kVector, Copy::kElement>(stream, shape, tensors);
  } else {
    launch_backward_filter<kPrecision, Small, Copy::kElement, Copy::kElement>(stream, shape, tensors);
  }
}

}  // namespace

void launch_sum_parts(cudaStream_t stream, int parts, int count, const float* partial, float* out) {
  constexpr int kSplits = 8, kMinSplitParts = 16;
  const bool vector = count % 4 == 0 && is_vector_aligned(out) && is_vector_aligned(partial);
  const bool split = parts >= kMinSplitParts;
  const auto kernel = split    ? vector ? sum_parts_kernel<4, kSplits> : sum_parts_kernel<1, kSplits>
                         : vector ? sum_parts_kernel<4, 1>
                               : sum_parts_kernel<1, 1>;
  const int elements = (vector ? 4 : 1) * kSumThreads / (split ? kSplits : 1);  // per block
  launch(kernel, {static_cast<unsigned>((count + elements - 1) / elements), kSumThreads, 0, stream}, parts, count,
         partial, out);
}

std::size_t backward_filter_workspace(Precision precision, const ConvolutionShape& shape) {
  return parts_workspace(split_pixels(precision, shape), shape);
}

void launch_convolution_backward_filter(cudaStream_t stream, Precision precision, const ConvolutionShape& shape,
                                        const void* x, const void* grad_y, float* grad_filter, float* workspace) {
  const FilterGradient tensors{x, grad_y, grad_filter, workspace};
  switch (precision) {
    case Precision::kF32: return launch_backward_filter<Precision::kF32>(stream, shape, tensors);
    case Precision::kTF32: return launch_backward_filter<Precision::kTF32>(stream, shape, tensors);
    case Precision::kBF16: return launch_backward_filter<Precision::kBF16>(stream, shape, tensors);
  }
}

}  // namespace gradamp::GRADAMP_GPU
