// SPDX-License-Identifier: MIT
// The gradient of a convolution's input. A pixel of x receives gradient from every y pixel whose window covers it. With
// stride s, the pixels at (a, b) modulo s receive through every s-th tap only. So each of these s^2 stride residues is
// a dense product of its own: grad_x (pixels of the residue, C) = im2col(grad_y) (.., taps K) filter (taps K, C). No
// product has a zero factor that the stride would insert.
#include <algorithm>

#include "gradamp/kernels/cuda/batch_norm_affine.h"
#include "gradamp/kernels/cuda/combine_pairs.h"
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
  int first_group;  // the number of tiles of pixels in the residues before it
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
  NormOfInput norm;
};

/// The offset in grad_x of a pixel of the residue; less than 0 if there is no such pixel.
template <typename T, bool kWholeStages>
__device__ __forceinline__ int pixel_offset(const StrideResidue<T, kWholeStages>& residue, const InputGradient<T>& out,
                                            int pixel) {
  if (pixel >= residue.im2col.rows) return -1;
  if (out.stride == 1) return pixel * out.channels;
  const auto at = residue.im2col.window(pixel);
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
  static constexpr int kAtOnce = Block::kN == 128 ? 8 : 4;  // pixels whose loads are in flight together
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

  /// What run() reads of a row begins its way into the second-level cache. Each thread has one of the block's rows.
  template <typename Residue>
  __device__ static void prefetch(const InputGradient<T>& out, const Residue& residue, int first_pixel,
                                  int first_channel) {
    static_assert(Block::kM == Block::kThreads);
    const int row = pixel_offset(residue, out, first_pixel + static_cast<int>(threadIdx.x));
    constexpr int kLine = 128 / static_cast<int>(sizeof(T));
    if (row < 0) return;
    for (int column = first_channel; column < min(first_channel + Block::kN, out.channels); column += kLine) {
      prefetch_to_l2(static_cast<const T*>(out.norm.x) + row + column);
      if (out.norm.y) prefetch_to_l2(static_cast<const T*>(out.norm.y) + row + column);
      if (out.update == Update::kAdd) prefetch_to_l2(out.grad_x + row + column);
    }
  }

  template <typename Sums, typename Residue>
  __device__ void run(T* shared, const Sums& sums, const Residue& residue) {
    const T* const staged = Product::template stage_sums<T>(shared, sums, thread_);
    if (channel_ < out_.channels) store_gradients(staged, residue);
    __syncthreads();  // all warps have read their sums
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

  /// Sums over the lanes, the warps and the blocks. All threads of the block call it.
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
    __syncthreads();
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
    PairCombination<Pair::kSums, Block::kThreads, Block::kN>::run(norm_.sums, group, tile_.remainder, channel_tiles_,
                                                                  static_cast<double*>(shared));
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
  if (first_pixel >= residue.im2col.rows) return;  // this residue has fewer pixels

  typename Product::template LoaderA<Im2colSource<T>, kCopy> a(residue.im2col, first_pixel);
  typename Product::template LoaderB<FilterSource<T, kWholeStages>, kCopy> b(residue.filter, first_channel);
  if constexpr (kCopy == Copy::kVector) {
    if (out.norm.sums.result) {
      NormEpilogue<T, Block, Product>::prefetch(out, residue, first_pixel, first_channel);
    }
  }
  typename Product::Sums sums = {};
  Product::accumulate(shared, a, b, 0, (residue.im2col.columns + kStageDepth<T> - 1) / kStageDepth<T>, sums);

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

int tiles_of(int rows, int rows_of_tile) { return (rows + rows_of_tile - 1) / rows_of_tile; }

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
void launch_backward_input(cudaStream_t stream, const ConvolutionShape& shape,
                           const ConvolutionBackwardInput& tensors) {
  using T = Element<kPrecision>;
  using Product = BlockProduct<kPrecision, Block, Major::kK, Major::kMN>;
  const InputGradient<T> out{static_cast<T*>(tensors.grad_x),
                             tensors.update,
                             shape.height,
                             shape.width,
                             shape.in_channels,
                             shape.stride,
                             tensors.norm};
  const int channel_tiles = tiles_of(shape.in_channels, Block::kN);
  for (int first = 0; first < shape.stride * shape.stride; first += kMaxResidues) {
    const int count = std::min(kMaxResidues, shape.stride * shape.stride - first);
    StrideResidues<T, kWholeStages> all{};
    int pixels = 0, groups = 0;
    for (int i = 0; i < count; ++i) {
      // With the usual padding the last residue has the most taps. Its blocks run longest, so they start first.
      const int index = first + count - 1 - i;
      all.residues[i] = stride_residue<T, kWholeStages>(shape, static_cast<const T*>(tensors.grad_y),
                                                        static_cast<const T*>(tensors.filter), index / shape.stride,
                                                        index % shape.stride);
      pixels = std::max(pixels, all.residues[i].im2col.rows);
      all.residues[i].first_group = groups;
      groups += tiles_of(all.residues[i].im2col.rows, Block::kM);
    }
    if (pixels == 0) continue;
    const int tiles = tiles_of(pixels, Block::kM) * channel_tiles;
    launch(backward_input_kernel<kPrecision, Block, kCopy, kWholeStages>,
           {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(count)), Block::kThreads,
            Product::template kSharedBytesForAll<T>, stream},
           all, Divisor(channel_tiles), out);
  }
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
