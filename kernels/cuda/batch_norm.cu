// SPDX-License-Identifier: MIT
// Batch norm + residual + ReLU. Forward: the convolution's epilogue (or `moments` here) computes mean and squared
// deviations of groups of rows; `statistics` combines the groups; `apply` is one pass. Backward: one reduction, whose
// last block computes coefficients from the sums, and one apply.
//
// Every pass works on a slice of up to kSliceChannels channels: 128 bytes of a row in bf16, 256 in f32. A thread owns
// N adjacent channels (16 bytes) and iterates over rows, so the values of a channel stay in registers.
#include "gradamp/kernels/cuda/batch_norm.h"

#include "gradamp/kernels/cuda/channel_slice.h"
#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// The normalized, scaled and shifted value before the residual. Forward and backward share this expression, so that
/// the ReLU's mask is bitwise identical in both.
__device__ __forceinline__ float affine(float x, float mean, float scale, float beta) {
  return __fmaf_rn(x - mean, scale, beta);
}

// ---- Statistics ----

constexpr int kLanes = 32;          // channels of a block, one per lane
constexpr int kMomentWarps = 8;     // the rows, or the groups, are split among them
constexpr int kGroupsOfBlock = 64;  // groups that one block of `statistics` combines

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
__global__ void __launch_bounds__(kLanes* kMomentWarps) moments_kernel(Rows shape, const T* x, float* moments) {
  SHARED(shared, double[kMomentWarps][kLanes]);
  constexpr int kOwn = kMomentRows / kMomentWarps;
  const int channel = static_cast<int>(blockIdx.y) * kLanes + static_cast<int>(threadIdx.x) % kLanes;
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const std::int64_t first = std::int64_t{blockIdx.x} * kMomentRows;
  const int rows = static_cast<int>(min(std::int64_t{kMomentRows}, shape.rows - first));
  const bool exists = channel < shape.channels;
  float values[kOwn];
  double sum = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int row = i * kMomentWarps + warp;
    values[i] = exists && row < rows ? to_float(x[(first + row) * shape.channels + channel]) : 0.0f;
    sum += static_cast<double>(values[i]);
  }
  const double mean = sum_over_warps(sum, shared) / rows;
  double deviations = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const double d = i * kMomentWarps + warp < rows ? static_cast<double>(values[i]) - mean : 0.0;
    deviations += d * d;
  }
  deviations = sum_over_warps(deviations, shared);
  if (!exists || warp != 0) return;
  float* group = moments + std::int64_t{blockIdx.x} * 2 * shape.channels;
  group[channel] = static_cast<float>(mean);
  group[shape.channels + channel] = static_cast<float>(deviations);
}

/// Sums over groups of n (m - shift) and M2 + n (m - shift)^2. The shift is near the mean, which avoids cancellation.
struct ShiftedSums {
  double first = 0, second = 0;
};

__device__ __forceinline__ void finish_statistics(const ShiftedSums& sums, double shift, std::int64_t rows, int channel,
                                                  const BatchNormParams& params, const BatchStatistics& out) {
  const auto count = static_cast<double>(rows);
  const double offset = sums.first / count;
  const double deviations = fmax(0.0, sums.second - sums.first * offset);
  const auto mean = static_cast<float>(shift + offset);
  out.mean[channel] = mean;
  out.inverse_std[channel] = static_cast<float>(1.0 / sqrt(deviations / count + static_cast<double>(params.epsilon)));
  out.running_mean[channel] += params.momentum * (mean - out.running_mean[channel]);
  const auto unbiased = static_cast<float>(deviations / (count - 1));
  out.running_var[channel] += params.momentum * (unbiased - out.running_var[channel]);
}

/// Block (range of kGroupsOfBlock groups, slice of 32 channels). The last block of a slice finishes the slice.
/// workspace (ranges, 2, C). Few threads run, so each has all its loads in flight before it uses the first.
__global__ void __launch_bounds__(kLanes* kMomentWarps)
    statistics_kernel(Rows shape, const float* moments, BatchNormParams params, BatchStatistics out, double* workspace,
                      unsigned* completion_counters) {
  SHARED(shared, double[kMomentWarps][kLanes]);
  constexpr int kAtOnce = kGroupsOfBlock / kMomentWarps;
  const int warp = threadIdx.x / kLanes;
  const int channel = blockIdx.y * kLanes + threadIdx.x % kLanes;
  const bool exists = channel < shape.channels;
  const auto groups = static_cast<int>((shape.rows + kMomentRows - 1) / kMomentRows);
  const int first_group = blockIdx.x * kGroupsOfBlock + warp;
  float means[kAtOnce] = {}, deviations[kAtOnce] = {};
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) {
    const int group = first_group + i * kMomentWarps;
    if (!exists || group >= groups) continue;
    const float* values = moments + std::int64_t{group} * 2 * shape.channels;
    means[i] = values[channel];
    deviations[i] = values[shape.channels + channel];
  }
  const double shift = exists ? moments[channel] : 0.0f;
  ShiftedSums sums;
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) {
    const int group = first_group + i * kMomentWarps;
    if (!exists || group >= groups) continue;
    const auto rows =
        static_cast<double>(min(std::int64_t{kMomentRows}, shape.rows - std::int64_t{group} * kMomentRows));
    const double offset = means[i] - shift;
    sums.first += rows * offset;
    sums.second += deviations[i] + rows * offset * offset;
  }
  sums.first = sum_over_warps(sums.first, shared);
  sums.second = sum_over_warps(sums.second, shared);
  const int ranges = static_cast<int>(gridDim.x);
  if (ranges > 1) {
    double* own = workspace + std::int64_t{blockIdx.x} * 2 * shape.channels;
    if (exists && warp == 0) {
      own[channel] = sums.first;
      own[shape.channels + channel] = sums.second;
    }
    if (!is_last_block(completion_counters + blockIdx.y, gridDim.x)) return;
    sums = {};
    constexpr int kRangesAtOnce = 4;
    for (int first = warp; exists && first < ranges; first += kRangesAtOnce * kMomentWarps) {
      double parts[kRangesAtOnce][2] = {};
#pragma unroll
      for (int i = 0; i < kRangesAtOnce; ++i) {
        const int range = first + i * kMomentWarps;
        if (range >= ranges) continue;
        const double* part = workspace + std::int64_t{range} * 2 * shape.channels;
        parts[i][0] = __ldcg(part + channel);
        parts[i][1] = __ldcg(part + shape.channels + channel);
      }
#pragma unroll
      for (const auto& part : parts) {
        sums.first += part[0];
        sums.second += part[1];
      }
    }
    sums.first = sum_over_warps(sums.first, shared);
    sums.second = sum_over_warps(sums.second, shared);
  }
  if (exists && warp == 0) finish_statistics(sums, shift, shape.rows, channel, params, out);
}

// ---- Forward ----

/// kTraining: uses the batch's statistics; otherwise the running ones.
template <int N, typename T, bool kTraining, bool kRelu, bool kResidual>
__global__ void __launch_bounds__(kSliceThreads)
    apply_kernel(ChannelSlices slices, BatchNormApply tensors, float epsilon) {
  const ChannelSlices::Index index = slices.index<N>();
  if (!index.exists) return;
  float mean[N], scale[N], beta[N], gamma[N];
  load_floats(tensors.mean + index.channel, mean);
  load_floats(tensors.beta + index.channel, beta);
  load_floats(tensors.gamma + index.channel, gamma);
  if constexpr (kTraining) {
    load_floats(tensors.inverse_std + index.channel, scale);
  } else {
    load_floats(tensors.running_var + index.channel, scale);
#pragma unroll
    for (float& value : scale) value = 1.0f / sqrtf(value + epsilon);
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
      y[i] = affine(y[i], mean[i], scale[i], beta[i]);
      if constexpr (kResidual) y[i] += residual[i];
      if constexpr (kRelu) y[i] = y[i] < 0.0f ? 0.0f : y[i];  // a NaN stays a NaN
    }
    store<N>(static_cast<T*>(tensors.y) + row * slices.channels + index.channel, y);
  });
}

// ---- Backward ----

/// The source of the ReLU's mask.
enum class Mask { kNone, kFromX, kFromY };

/// The parameters of a thread's channels.
template <int N>
struct ChannelValues {
  float mean[N], scale[N], beta[N];

  __device__ ChannelValues(const BatchNormGradients& tensors, int channel) {
    float gamma[N];
    load_floats(tensors.mean + channel, mean);
    load_floats(tensors.inverse_std + channel, scale);
    load_floats(tensors.beta + channel, beta);
    load_floats(tensors.gamma + channel, gamma);
#pragma unroll
    for (int i = 0; i < N; ++i) scale[i] *= gamma[i];
  }
};

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
        output[i] = affine(value[i], channels.mean[i], channels.scale[i], channels.beta[i]);
      }
      if constexpr (kMask != Mask::kNone) grad[i] = output[i] > 0.0f ? grad[i] : 0.0f;
    }
  }
};

/// Sums the masked gradient g and g (x - mean) into partial (row ranges, 2, C). The last block of a slice writes the
/// parameters' gradients and, to coefficients (2, C), slope and offset of grad_x = scale g + slope (x - mean) + offset.
/// With a residual, g is the residual's gradient: it is stored, and the apply pass reads it instead of grad_y and y.
template <int N, typename T, Mask kMask>
__global__ void __launch_bounds__(kSliceThreads)
    backward_reduce_kernel(ChannelSlices slices, BatchNormGradients tensors, double* partial, float* coefficients,
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
  const double inverse_std = tensors.inverse_std[channel];
  const double scale = tensors.gamma[channel] * tensors.inverse_std[channel];
  const auto rows = static_cast<double>(slices.rows);
  tensors.grad_beta[channel] = static_cast<float>(totals[0]);
  tensors.grad_gamma[channel] = static_cast<float>(totals[1] * inverse_std);
  coefficients[channel] = static_cast<float>(-scale * inverse_std * inverse_std * totals[1] / rows);
  coefficients[slices.channels + channel] = static_cast<float>(-scale * totals[0] / rows);
}

template <int N, typename T, Mask kMask>
__global__ void __launch_bounds__(kSliceThreads)
    backward_apply_kernel(ChannelSlices slices, BatchNormGradients tensors, const float* coefficients) {
  const ChannelSlices::Index index = slices.index<N>();
  if (!index.exists) return;
  const ChannelValues<N> channels(tensors, index.channel);
  float slope[N], offset[N];
  load_floats(coefficients + index.channel, slope);
  load_floats(coefficients + slices.channels + index.channel, offset);
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

template <int N, typename T, Mask kMask>
void launch_backward(cudaStream_t stream, const ChannelSlices& slices, BatchNormGradients tensors, double* workspace,
                     unsigned* completion_counters) {
  float* coefficients = reinterpret_cast<float*>(workspace + slices.partial_count(2));
  launch(backward_reduce_kernel<N, T, kMask>, slices.shape(stream), slices, tensors, workspace, coefficients,
         completion_counters);
  if (tensors.grad_residual) {  // it holds the masked gradient now
    tensors.grad_y = tensors.grad_residual;
    launch(backward_apply_kernel<N, T, Mask::kNone>, slices.shape(stream), slices, tensors, coefficients);
  } else {
    launch(backward_apply_kernel<N, T, kMask>, slices.shape(stream), slices, tensors, coefficients);
  }
}

dim3 moment_grid(std::int64_t x, int channels) {
  return {static_cast<unsigned>(x), static_cast<unsigned>((channels + kLanes - 1) / kLanes)};
}

std::int64_t moment_groups(const Rows& rows) { return (rows.rows + kMomentRows - 1) / kMomentRows; }

std::int64_t statistics_ranges(const Rows& rows) { return (moment_groups(rows) + kGroupsOfBlock - 1) / kGroupsOfBlock; }

}  // namespace

void launch_moments(cudaStream_t stream, DType type, const Rows& rows, const void* x, float* moments) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch(moments_kernel<T>, {moment_grid(moment_groups(rows), rows.channels), kLanes * kMomentWarps, 0, stream}, rows,
           static_cast<const T*>(x), moments);
  });
}

std::size_t statistics_workspace(const Rows& rows) {
  return static_cast<std::size_t>(statistics_ranges(rows)) * 2 * static_cast<std::size_t>(rows.channels);
}

void launch_statistics(cudaStream_t stream, const Rows& rows, const float* moments, const BatchNormParams& params,
                       const BatchStatistics& statistics, double* workspace, unsigned* completion_counters) {
  launch(statistics_kernel, {moment_grid(statistics_ranges(rows), rows.channels), kLanes * kMomentWarps, 0, stream},
         rows, moments, params, statistics, workspace, completion_counters);
}

void launch_batch_norm_apply(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                             const BatchNormApply& tensors) {
  with_vectors(type, rows.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const ChannelSlices slices(rows.rows, rows.channels);
    using Kernel = void (*)(ChannelSlices, BatchNormApply, float);
    constexpr Kernel kVariants[2][2][2] = {
        {{apply_kernel<N, T, false, false, false>, apply_kernel<N, T, false, false, true>},
         {apply_kernel<N, T, false, true, false>, apply_kernel<N, T, false, true, true>}},
        {{apply_kernel<N, T, true, false, false>, apply_kernel<N, T, true, false, true>},
         {apply_kernel<N, T, true, true, false>, apply_kernel<N, T, true, true, true>}}};
    const Kernel kernel = kVariants[tensors.inverse_std != nullptr][params.relu][tensors.residual != nullptr];
    launch(kernel, slices.shape(stream), slices, tensors, params.epsilon);
  });
}

std::size_t batch_norm_backward_workspace(const Rows& rows) {
  return ChannelSlices(rows.rows, rows.channels).partial_count(2) + static_cast<std::size_t>(rows.channels);
}

void launch_batch_norm_backward(cudaStream_t stream, DType type, const Rows& rows, const BatchNormParams& params,
                                const BatchNormGradients& tensors, double* workspace, unsigned* completion_counters) {
  with_vectors(type, rows.channels, [&](auto zero, auto width) {
    using T = decltype(zero);
    constexpr int N = decltype(width)::value;
    const ChannelSlices slices(rows.rows, rows.channels);
    const auto backward = !params.relu ? launch_backward<N, T, Mask::kNone>
                          : !tensors.y ? launch_backward<N, T, Mask::kFromX>
                                       : launch_backward<N, T, Mask::kFromY>;
    backward(stream, slices, tensors, workspace, completion_counters);
  });
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
