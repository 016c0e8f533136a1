// SPDX-License-Identifier: MIT
// The products of a small linear layer, and the part of a large one that is not a matrix product.
#include "gradamp/kernels/cuda/linear.h"

#include <cstdint>

#include "gradamp/kernels/cuda/divisor.h"
#include "gradamp/kernels/cuda/reduce.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// ---- Small products ----
//
// A classifier's product is so small that its time is latency: it is split among as many threads as possible.

/// y (rows, outputs) = x (rows, inputs) weight (outputs, inputs)^T + bias (or null). A warp computes one element of y;
/// its lanes read N adjacent inputs at a time.
template <int N>
__global__ void __launch_bounds__(kThreads) small_forward_kernel(LinearShape shape, Divisor by_outputs, const float* x,
                                                                 const float* weight, const float* bias, float* y) {
  const int element = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (element >= shape.rows * shape.outputs) return;
  const auto [row, output] = by_outputs.divide(element);
  const float* const x_row = x + std::int64_t{row} * shape.inputs;
  const float* const weight_row = weight + std::int64_t{output} * shape.inputs;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float sum = 0;
#pragma unroll 4
  for (int i = lane * N; i < shape.inputs; i += 32 * N) {
    float a[N], b[N];
    load<N>(x_row + i, a);
    load<N>(weight_row + i, b);
#pragma unroll
    for (int e = 0; e < N; ++e) sum = __fmaf_rn(a[e], b[e], sum);
  }
  sum = warp_sum(sum);
  if (lane == 0) y[element] = bias ? sum + bias[output] : sum;
}

/// c (m, n) = a b with a row-major b (depth, n): a's element (i, k) is at a[i a_row + k a_depth]. A block computes 32
/// adjacent elements of a row of c. Each of its warps sums one of kWarps ranges of the depth, and the warps' sums are
/// added in order.
struct SmallProduct {
  int n, depth;
  int a_row, a_depth;
  const float *a, *b;
  float* c;
};
__global__ void __launch_bounds__(kThreads) small_product_kernel(SmallProduct product) {
  SHARED(shared, float[kWarps][32]);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int column = static_cast<int>(blockIdx.x) * 32 + lane, row = static_cast<int>(blockIdx.y);
  const int range = (product.depth + kWarps - 1) / kWarps;
  const int end = min(product.depth, (warp + 1) * range);
  const float* const a = product.a + std::int64_t{row} * product.a_row;
  float sum = 0;
  if (column < product.n) {
#pragma unroll 8
    for (int k = warp * range; k < end; ++k) {
      sum = __fmaf_rn(a[std::int64_t{k} * product.a_depth], product.b[std::int64_t{k} * product.n + column], sum);
    }
  }
  shared[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= product.n) return;
  for (int other = 1; other < kWarps; ++other) sum += shared[other][lane];
  product.c[std::int64_t{row} * product.n + column] = sum;
}

void launch_small_product(cudaStream_t stream, int m, const SmallProduct& product) {
  const dim3 grid(static_cast<unsigned>((product.n + 31) / 32), static_cast<unsigned>(m));
  launch(small_product_kernel, {grid, kThreads, 0, stream}, product);
}

// ---- Bias ----

__global__ void __launch_bounds__(kThreads)
    add_bias_kernel(int count, Divisor by_columns, const float* bias, float* y) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i < count) y[i] += bias[by_columns.divide(i).remainder];
}

}  // namespace

void launch_small_linear(cudaStream_t stream, const LinearShape& shape, const float* x, const float* weight,
                         const float* bias, float* y) {
  const bool vector = shape.inputs % kVector<float> == 0 && is_vector_aligned(x) && is_vector_aligned(weight);
  const int elements = shape.rows * shape.outputs;
  launch(vector ? small_forward_kernel<kVector<float>> : small_forward_kernel<1>,
         {static_cast<unsigned>((elements + kWarps - 1) / kWarps), kThreads, 0, stream}, shape, Divisor(shape.outputs),
         x, weight, bias, y);
}

void launch_small_linear_backward_input(cudaStream_t stream, const LinearShape& shape, const float* grad_y,
                                        const float* weight, float* grad_x) {
  launch_small_product(stream, shape.rows,
                       {.n = shape.inputs,
                        .depth = shape.outputs,
                        .a_row = shape.outputs,
                        .a_depth = 1,
                        .a = grad_y,
                        .b = weight,
                        .c = grad_x});
}

void launch_small_linear_backward_weight(cudaStream_t stream, const LinearShape& shape, const float* x,
                                         const float* grad_y, float* grad_weight) {
  launch_small_product(stream, shape.outputs,
                       {.n = shape.inputs,
                        .depth = shape.rows,
                        .a_row = 1,
                        .a_depth = shape.outputs,
                        .a = grad_y,
                        .b = x,
                        .c = grad_weight});
}

void launch_add_bias(cudaStream_t stream, int rows, int columns, const float* bias, float* y) {
  const int count = rows * columns;
  launch(add_bias_kernel, {static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream}, count,
         Divisor(columns), bias, y);
}

}  // namespace gradamp::GRADAMP_GPU
