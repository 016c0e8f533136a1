// SPDX-License-Identifier: MIT
// Batch norm + residual + ReLU. Forward: the convolution's epilogue (or `moments` here) computes mean and squared
// deviations; `apply` is one pass. Backward: the epilogue of the convolution that computes grad_y (or `backward_reduce`
// here) computes two sums, and one apply.
//
// Every pass works on a slice of up to kSliceChannels channels: 128 bytes of a row in bf16, 256 in f32. A thread owns
// N adjacent channels (16 bytes) and iterates over rows, so the values of a channel stay in registers.
#include "gradamp/kernels/cuda/batch_norm.h"

#include "gradamp/kernels/cuda/batch_norm_affine.h"
#include "gradamp/kernels/cuda/channel_slice.h"
#include "gradamp/kernels/cuda/combine_pairs.h"
#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

// ---- Statistics ----

constexpr int kLanes = 32;       // channels of a block, one per lane
constexpr int kMomentWarps = 8;  // the rows are split among them
constexpr int kMergeThreads = 128;

/// Sums one value per thread over the warps, separately for each lane and in warp order. Every warp gets the sums.
template <typename T>
__device__ __forceinline__ T sum_over_warps(T value, T (&shared)[kMomentWarps][kLanes]) {
  shared[threadIdx.x / kLanes][threadIdx.x % kLanes] = value;
  __syncthreads();
  T sum = 0;
#pragma unroll
  for (int warp = 0; warp < kMomentWarps; ++warp) sum += shared[warp][threadIdx.x % kLanes];
  __syncthreads();  // `shared` may be overwritten now
  return sum;
}

/// Block (group, slice of 32 channels). The group's values stay in registers between the two sums.
template <typename T>
__global__ void __launch_bounds__(kLanes* kMomentWarps)
    moments_kernel(const T* x, const __grid_constant__ ChannelPairs out) {
  using Combination = PairCombination<Pair::kMoments, WholeBlock<kLanes * kMomentWarps>, kLanes>;
  SHARED(shared, double[Combination::kSharedDoubles]);
  auto& sums = *reinterpret_cast<double(*)[kMomentWarps][kLanes]>(&shared);
  constexpr int kOwn = kGroupRows / kMomentWarps;
  const int channel = static_cast<int>(blockIdx.y) * kLanes + static_cast<int>(threadIdx.x) % kLanes;
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const std::int64_t first = std::int64_t{blockIdx.x} * kGroupRows;
  const int rows = static_cast<int>(min(std::int64_t{kGroupRows}, out.rows - first));
  const bool exists = channel < out.channels;
  float values[kOwn];
  double sum = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int row = i * kMomentWarps + warp;
    values[i] = exists && row < rows ? to_float(x[(first + row) * out.channels + channel]) : 0.0f;
    sum += static_cast<double>(values[i]);
  }
  const double mean = sum_over_warps(sum, sums) / rows;
  double deviations = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const double d = i * kMomentWarps + warp < rows ? static_cast<double>(values[i]) - mean : 0.0;
    deviations += d * d;
  }
  deviations = sum_over_warps(deviations, sums);
  const int group = static_cast<int>(blockIdx.x);
  if (exists && warp == 0)
    store_pair_of_group(out, group, channel, static_cast<float>(mean), static_cast<float>(deviations));
  Combination combination(out, group, static_cast<int>(blockIdx.y), static_cast<int>(gridDim.y));
  combination.begin();
  combination.finish(shared);
}

// ---- Forward ----

/// Stores the batch's statistics and updates the running ones, for N channels.
template <int N>
__device__ void store_statistics(const BatchNormApply& tensors, int channel, const float (&mean)[N],
                                 const float (&deviations)[N], const float (&inverse_std)[N], float momentum) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int c = channel + i;
    tensors.mean[c] = mean[i];
    tensors.inverse_std[c] = inverse_std[i];
  }
  if (tensors.running_mean == nullptr) return;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const int c = channel + i;
    tensors.running_mean[c] += momentum * (mean[i] - tensors.running_mean[c]);
    const float unbiased = deviations[i] / static_cast<float>(tensors.moments_rows - 1);
    tensors.running_var[c] += momentum * (unbiased - tensors.running_var[c]);
  }
}

/// kTraining: uses the batch's statistics, which the first block of each slice stores; otherwise the running ones.
template <int N, typename T, bool kTraining, bool kRelu, bool kResidual>
__global__ void __launch_bounds__(kSliceThreads)
    apply_kernel(ChannelSlices slices, BatchNormApply tensors, BatchNormParams params) {
  const ChannelSlices::Index index = slices.index<N>();
  if (!index.exists) return;
  float mean[N], spread[N], scale[N], beta[N], gamma[N];
  load_floats(tensors.beta + index.channel, beta);
  load_floats(tensors.gamma + index.channel, gamma);
  load_floats((kTraining ? tensors.moments : tensors.running_mean) + index.channel, mean);
  load_floats((kTraining ? tensors.moments + slices.channels : tensors.running_var) + index.channel, spread);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float variance = kTraining ? spread[i] / static_cast<float>(tensors.moments_rows) : spread[i];
    scale[i] = 1.0f / sqrtf(variance + params.epsilon);
  }
  if constexpr (kTraining) {
    if (index.row == 0) store_statistics(tensors, index.channel, mean, spread, scale, params.momentum);
  }
#pragma unroll
  for (int i = 0; i < N; ++i) scale[i] *= gamma[i];
  struct Row {
    Packed<N, T> x, residual;
  };
  const auto load_row = [&](std::int64_t row, Row& packed) {
    const std::int64_t at = row * slices.channels + index.channel;
    packed.x = load_packed<N>(static_cast<const T*>(tensors.x) + at);
    if constexpr (kResidual) packed.residual = load_packed<N>(static_cast<const T*>(tensors.residual) + at);
  };
  slices.for_each_row<Row>(index, load_row, [&](std::int64_t row, const Row& packed) {
    float y[N], residual[N];
    unpack<T>(packed.x, y);
    if constexpr (kResidual) unpack<T>(packed.residual, residual);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      y[i] = batch_norm_affine(y[i], mean[i], scale[i], beta[i]);
      if constexpr (kResidual) y[i] += residual[i];
      if constexpr (kRelu) y[i] = y[i] < 0.0f ? 0.0f : y[i];  // a NaN stays a NaN
    }
    store<N>(static_cast<T*>(tensors.y) + row * slices.channels + index.channel, y);
  });
}

// ---- Backward ----

/// The source of the ReLU's mask.
enum class Mask { kNone, kFromX, kFromY };

Mask mask_of(const BatchNormParams& params, const BatchNormGradients& tensors) {
  if (!params.relu || tensors.is_masked) return Mask::kNone;
  return tensors.y == nullptr ? Mask::kFromX : Mask::kFromY;
}

/// N elements of a row of each tensor that the backward reads.
template <int N, typename T, Mask kMask>
struct BackwardRow {
  Packed<N, T> grad_y, x, y;

  __device__ __forceinline__ void load_from(const BatchNormGradients& tensors, std::int64_t at) {
    grad_y = load_packed<N>(static_cast<const T*>(tensors.grad_y) + at);
    x = load_packed<N>(static_cast<const T*>(tensors.x) + at);
    if constexpr (kMask == Mask::kFromY) y = load_packed<N>(static_cast<const T*>(tensors.y) + at);
  }
  /// The gradient of the ReLU's input, and x.
  __device__ __forceinline__ void masked_gradient(const ChannelValues<N>& channels, float (&grad)[N],
                                                  float (&value)[N]) const {
    unpack<T>(grad_y, grad);
    unpack<T>(x, value);
    float output[N];
    if constexpr (kMask == Mask::kFromY) unpack<T>(y, output);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if constexpr (kMask == Mask::kFromX) {
        output[i] = batch_norm_affine(value[i], channels.mean[i], channels.scale[i], channels.beta[i]);
      }
      if constexpr (kMask != Mask::kNone) grad[i] = output[i] > 0.0f ? grad[i] : 0.0f;
    }
  }
};

/// Sums the masked gradient g and g (x - mean), through partial (row ranges, 2, C), into result (2, C). With a
/// residual, g is the residual's gradient: it is stored, and the apply pass reads it instead of grad_y and y.
template <int N, typename T, Mask kMask>
__global__ void __launch_bounds__(kSliceThreads)
    backward_reduce_kernel(ChannelSlices slices, BatchNormGradients tensors, double* partial, float* result,
                           unsigned* completion_counters) {
  const ChannelSlices::Index index = slices.index<N>();
  float sums[2][N] = {};
  if (index.exists) {
    using Row = BackwardRow<N, T, kMask>;
    const ChannelValues<N> channels(tensors, index.channel);
    const auto load_row = [&](std::int64_t row, Row& packed) {
      packed.load_from(tensors, row * slices.channels + index.channel);
    };
    slices.for_each_row<Row>(index, load_row, [&](std::int64_t row, const Row& packed) {
      float grad[N], x[N];
      packed.masked_gradient(channels, grad, x);
      if (tensors.grad_residual) {
        store<N>(static_cast<T*>(tensors.grad_residual) + row * slices.channels + index.channel, grad);
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        sums[0][i] += grad[i];
        sums[1][i] = __fmaf_rn(grad[i], x[i] - channels.mean[i], sums[1][i]);
      }
    });
  }
  double totals[2];
  const int channel = slices.sum_rows<N, 2>(index, sums, partial, completion_counters, totals);
  if (channel < 0) return;
  result[channel] = static_cast<float>(totals[0]);
  result[slices.channels + channel] = static_cast<float>(totals[1]);
}

/// grad_x = scale g + slope (x - mean) + offset, with slope and offset from the sums. The first block of each slice
/// stores the parameters' gradients.
template <int N, typename T, Mask kMask>
__global__ void __launch_bounds__(kSliceThreads)
    backward_apply_kernel(ChannelSlices slices, BatchNormGradients tensors) {
  const ChannelSlices::Index index = slices.index<N>();
  if (!index.exists) return;
  const ChannelValues<N> channels(tensors, index.channel);
  float offset[N], slope[N], inverse_std[N];
  load_floats(tensors.sums + index.channel, offset);
  load_floats(tensors.sums + slices.channels + index.channel, slope);
  load_floats(tensors.inverse_std + index.channel, inverse_std);
  const float rows = static_cast<float>(tensors.sums_rows);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (index.row == 0 && tensors.grad_gamma != nullptr) {
      tensors.grad_beta[index.channel + i] = offset[i];
      tensors.grad_gamma[index.channel + i] = slope[i] * inverse_std[i];
    }
    slope[i] *= -channels.scale[i] * (inverse_std[i] * inverse_std[i]) / rows;
    offset[i] *= -channels.scale[i] / rows;
  }
  using Row = BackwardRow<N, T, kMask>;
  const auto load_row = [&](std::int64_t row, Row& packed) {
    packed.load_from(tensors, row * slices.channels + index.channel);
  };
  slices.for_each_row<Row>(index, load_row, [&](std::int64_t row, const Row& packed) {
    float grad[N], x[N];
    packed.masked_gradient(channels, grad, x);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float shifted = __fmaf_rn(slope[i], x[i] - channels.mean[i], offset[i]);
      grad[i] = __fmaf_rn(channels.scale[i], grad[i], shifted);
    }
    store<N>(static_cast<T*>(tensors.grad_x) + row * slices.channels + index.channel, grad);
  });
}

template <int N, typename T>
__global__ void __launch_bounds__(kSliceThreads)
    column_sums_kernel(ChannelSlices slices, const T* x, float* out, double* partial, unsigned* completion_counters) {
  const ChannelSlices::Index index = slices.index<N>();
  float sums[1][N] = {};
  if (index.exists) {
    using Row = Packed<N, T>;
    const auto load_row = [&](std::int64_t row, Row& packed) {
      packed = load_packed<N>(x + row * slices.channels + index.channel);
    };
    slices.for_each_row<Row>(index, load_row, [&](std::int64_t, const Row& packed) {
      float values[N];
      unpack<T>(packed, values);
#pragma unroll
      for (int i = 0; i < N; ++i) sums[0][i] += values[i];
    });
  }
  double totals[1];
  const int channel = slices.sum_rows<N, 1>(index, sums, partial, completion_counters, totals);
  if (channel >= 0) out[channel] = static_cast<float>(totals[0]);
}

// ---- Shards of a batch ----

/// A thread has a channel. Sums are in f64, in the order of the shards.
template <BatchNormPair kKind>
__global__ void __launch_bounds__(kMergeThreads)
    merge_pairs_kernel(const float* of_shards, const float* images, std::int64_t shards, std::int64_t pixels,
                       std::int64_t channels, float* merged) {
  const std::int64_t channel = std::int64_t{blockIdx.x} * kMergeThreads + static_cast<int>(threadIdx.x);
  if (channel >= channels) return;
  double rows = 0, first = 0, second = 0;
  const auto for_each_shard = [&](const auto& body) {
    for (std::int64_t shard = 0; shard < shards; ++shard) {
      const float* const pair = of_shards + shard * 2 * channels + channel;
      const double of_shard = static_cast<double>(images[shard]) * static_cast<double>(pixels);
      if (of_shard > 0) body(of_shard, static_cast<double>(pair[0]), static_cast<double>(pair[channels]));
    }
  };
  for_each_shard([&](double of_shard, double a, double b) {
    rows += of_shard;
    first += kKind == BatchNormPair::kMoments ? of_shard * a : a;
    second += b;
  });
  if constexpr (kKind == BatchNormPair::kMoments) {
    first /= rows;
    for_each_shard([&](double of_shard, double mean, double) { second += of_shard * (mean - first) * (mean - first); });
  }
  merged[channel] = static_cast<float>(first);
  merged[channels + channel] = static_cast<float>(second);
}

}  // namespace

void launch_moments(cudaStream_t stream, DType type, const void* x, const ChannelPairs& sums) {
  const dim3 grid(static_cast<unsigned>(sums.group_count),
                  static_cast<unsigned>((sums.channels + kLanes - 1) / kLanes));
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch(moments_kernel<T>, {grid, kLanes * kMomentWarps, 0, stream}, static_cast<const T*>(x), sums);
  });
}

void launch_batch_norm_apply(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                             const BatchNormApply& tensors) {
  with_vectors(type, rows.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const ChannelSlices slices(rows.rows, rows.channels);
    using Kernel = void (*)(ChannelSlices, BatchNormApply, BatchNormParams);
    constexpr Kernel kVariants[2][2][2] = {
        {{apply_kernel<N, T, false, false, false>, apply_kernel<N, T, false, false, true>},
         {apply_kernel<N, T, false, true, false>, apply_kernel<N, T, false, true, true>}},
        {{apply_kernel<N, T, true, false, false>, apply_kernel<N, T, true, false, true>},
         {apply_kernel<N, T, true, true, false>, apply_kernel<N, T, true, true, true>}}};
    const Kernel kernel = kVariants[tensors.moments != nullptr][params.relu][tensors.residual != nullptr];
    launch(kernel, slices.shape(stream), slices, tensors, params);
  });
}

std::size_t batch_norm_sums_workspace(const Rows& rows) {
  return ChannelSlices(rows.rows, rows.channels).partial_count(2);
}

std::size_t batch_norm_backward_workspace(const Rows& rows) {
  return batch_norm_sums_workspace(rows) + static_cast<std::size_t>(rows.channels);
}

void launch_batch_norm_sums(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                            const BatchNormGradients& tensors, float* sums, double* workspace,
                            unsigned* completion_counters) {
  with_vectors(type, rows.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const ChannelSlices slices(rows.rows, rows.channels);
    const auto kernel = mask_of(params, tensors) == Mask::kNone    ? backward_reduce_kernel<N, T, Mask::kNone>
                        : mask_of(params, tensors) == Mask::kFromX ? backward_reduce_kernel<N, T, Mask::kFromX>
                                                                   : backward_reduce_kernel<N, T, Mask::kFromY>;
    launch(kernel, slices.shape(stream), slices, tensors, workspace, sums, completion_counters);
  });
}

void launch_batch_norm_backward(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                                const BatchNormGradients& given) {
  BatchNormGradients tensors = given;
  if (tensors.grad_residual != nullptr) {  // it has the masked gradient
    tensors.grad_y = tensors.grad_residual;
    tensors.is_masked = true;
  }
  with_vectors(type, rows.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const ChannelSlices slices(rows.rows, rows.channels);
    const auto kernel = mask_of(params, tensors) == Mask::kNone    ? backward_apply_kernel<N, T, Mask::kNone>
                        : mask_of(params, tensors) == Mask::kFromX ? backward_apply_kernel<N, T, Mask::kFromX>
                                                                   : backward_apply_kernel<N, T, Mask::kFromY>;
    launch(kernel, slices.shape(stream), slices, tensors);
  });
}

void launch_merge_pairs(cudaStream_t stream, BatchNormPair kind, const float* of_shards, const float* images,
                        std::int64_t shards, std::int64_t pixels, std::int64_t channels, float* merged) {
  const auto blocks = static_cast<unsigned>((channels + kMergeThreads - 1) / kMergeThreads);
  launch(kind == BatchNormPair::kMoments ? merge_pairs_kernel<BatchNormPair::kMoments>
                                         : merge_pairs_kernel<BatchNormPair::kSums>,
         {blocks, kMergeThreads, 0, stream}, of_shards, images, shards, pixels, channels, merged);
}

std::size_t column_sums_workspace(const Rows& rows) { return ChannelSlices(rows.rows, rows.channels).partial_count(1); }

void launch_column_sums(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* sums,
                        double* workspace, unsigned* completion_counters) {
  with_vectors(type, rows.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const ChannelSlices slices(rows.rows, rows.channels);
    launch(column_sums_kernel<N, T>, slices.shape(stream), slices, static_cast<const T*>(x), sums, workspace,
           completion_counters);
  });
}

}  // namespace gradamp::GRADAMP_GPU
