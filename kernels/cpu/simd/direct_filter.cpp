// SPDX-License-Identifier: MIT
// The direct backward of the filter: dw = grad_y^T A, where A contains the patches of x. The result is a matrix
// (K, taps * C), whose rows are the filter's (K, R, S, C) in memory.
//
// The sum is over all output pixels of the batch. A task computes up to 128 columns of dw, and for filters with few
// columns only every n-th block of pixels, which gives n partial sums. They are added in their order.
#include "gradamp/kernels/cpu/parallel.h"
#include "gradamp/kernels/cpu/simd/direct.h"
#include "gradamp/kernels/cpu/simd/patches.h"

namespace gradamp::GRADAMP_SIMD {
namespace {

/// The number of tasks that the partial sums shall make.
constexpr std::int64_t kTasks = 16;

/// How the work is divided.
struct Division {
  std::int64_t k_groups, l_groups;            // of dw
  std::int64_t column_groups, column_ranges;  // groups of columns per task
  std::int64_t pixels, rows, blocks;          // pixels per block
  std::int64_t partials;

  Division(std::int64_t outputs, std::int64_t depth, std::int64_t all_pixels)
      : k_groups(groups_of(outputs)), l_groups(groups_of(depth)), pixels(all_pixels) {
    constexpr std::int64_t kMaxGroups = kMaxDepth / kGroup;
    column_ranges = ceil_div(l_groups, kMaxGroups);
    column_groups = ceil_div(l_groups, column_ranges);
    column_ranges = ceil_div(l_groups, column_groups);
    // The gradients of y of a block stay in a second-level cache, together with its patches and a task's part of dw.
    rows = kMaxDepth;
    blocks = ceil_div(pixels, rows);
    partials = std::min(blocks, ceil_div(kTasks, column_ranges));
  }
  std::int64_t sum_floats() const { return k_groups * l_groups * kGroup * kGroup; }
};

/// One partial sum of dw, in blocks of 16 x 16. The blocks of a group of rows are adjacent.
struct FilterSum {
  float* data;
  std::int64_t l_groups;

  float* block(std::int64_t k_group, std::int64_t l_group) const {
    return data + (k_group * l_groups + l_group) * kGroup * kGroup;
  }
};

/// Elements of E from one group to the next. One line per group is unused, so that the groups of a row do not compete
/// for a few sets of the cache.
template <typename E>
constexpr std::int64_t group_stride(std::int64_t pixels) {
  return (ceil_div(pixels, kTerms<E>) + 1) * kGroup;
}

/// Copies groups of patches as columns of a sum over pixels: those of pairs have a line for every two pixels. The
/// second one of the last pair may be missing and counts as zeros then.
template <int kWidth, typename T, typename E>
void copy_columns(const Patches<T>& patches, const PlaceRange& range, std::int64_t first, std::int64_t groups,
                  const Lines<E>& out) {
  if constexpr (kTerms<E> == 1) {
    copy_patches<kWidth>(patches, range, first, groups, out);
  } else {
    const Lines<Bf16> lines{reinterpret_cast<Bf16*>(out.data), kTerms<E> * out.group_stride};
    copy_patches<kWidth>(patches, range, first, groups, lines);
    for (std::int64_t group = 0; group < groups; ++group) {
      if (range.count % 2 != 0)
        copy_elements<kWidth, T>(nullptr, lines.data + group * lines.group_stride + range.count * kGroup);
      E* line = out.data + group * out.group_stride;
      for (std::int64_t i = 0; i < range.count; i += 2, line += kGroup) pair_lines<kWidth, kGroup>(line);
    }
  }
}

/// Adds (or, if `overwrite`, sets) the products of `rows` lines to the groups [first, first + groups) of columns.
template <int kWidth, typename E>
void add_products(const Lines<E>& grads, const Lines<E>& patches, std::int64_t rows, const FilterSum& sum,
                  std::int64_t k_groups, std::int64_t first, std::int64_t column_groups, bool overwrite) {
  for (std::int64_t column = 0; column < column_groups;) {
    const int groups = block_groups<kWidth>(column_groups - column);
    for (std::int64_t k = 0; k < k_groups; ++k) {
      multiply<kWidth, ProductKind::kTransposed, E>(kGroup, groups,
                                                    {.a = grads.data + k * grads.group_stride,
                                                     .a_group = 0,
                                                     .b = patches.data + column * patches.group_stride,
                                                     .b_group = patches.group_stride,
                                                     .c = sum.block(k, first + column),
                                                     .c_group = kGroup * kGroup,
                                                     .depth = rows,
                                                     .overwrite = overwrite});
    }
    column += groups;
  }
}

/// Adds the partial sums in their order.
void store_filter(const Division& division, const float* sums, std::int64_t outputs, std::int64_t depth,
                  float* grad_weight, int threads) {
  parallel_for(threads, outputs, [&](std::int64_t k) {
    for (std::int64_t l = 0; l < depth; ++l) {
      const float* const first = FilterSum{const_cast<float*>(sums), division.l_groups}.block(k / kGroup, l / kGroup) +
                                 k % kGroup * kGroup + l % kGroup;
      float total = first[0];
      for (std::int64_t i = 1; i < division.partials; ++i) total += first[i * division.sum_floats()];
      grad_weight[k * depth + l] = total;
    }
  });
}

template <int kWidth, typename T>
void run(const Patches<T>& patches, const Patches<T>& grads, float* grad_weight, const Workers& workers) {
  using E = Operand<T>;
  static_assert(sizeof(E) == sizeof(float));  // memory for as many
  const std::int64_t outputs = grads.images.channels, depth = patches.depth();
  const Division division(outputs, depth, patches.grid.count());
  const std::int64_t stride = group_stride<E>(division.rows);
  const std::int64_t floats = (division.k_groups + division.column_groups) * stride;
  const std::int64_t tasks = division.column_ranges * division.partials;
  const int threads = static_cast<int>(std::min<std::int64_t>(workers.threads, tasks));
  const Scratch scratch(workers.allocator, threads * floats);
  const Scratch sums(workers.allocator, division.partials * division.sum_floats());
  constexpr std::int64_t kStep = kMaxDepth / kGroup;

  parallel_tasks(threads, tasks, [&](std::int64_t task, int thread) {
    E* const memory = reinterpret_cast<E*>(scratch.data() + thread * floats);
    const Lines<E> grad_lines{memory, stride}, patch_lines{memory + division.k_groups * stride, stride};
    const std::int64_t partial = task % division.partials, first = task / division.partials * division.column_groups;
    const std::int64_t groups = std::min(division.column_groups, division.l_groups - first);
    const FilterSum sum{sums.data() + partial * division.sum_floats(), division.l_groups};
    for (std::int64_t block = partial; block < division.blocks; block += division.partials) {
      const std::int64_t at = block * division.rows;
      const PlaceRange range{at, std::min(division.rows, division.pixels - at)};
      for (std::int64_t k = 0; k < division.k_groups; k += kStep)
        copy_columns<kWidth>(grads, range, k, std::min(kStep, division.k_groups - k),
                             Lines<E>{grad_lines.data + k * stride, stride});
      copy_columns<kWidth>(patches, range, first, groups, patch_lines);
      add_products<kWidth>(grad_lines, patch_lines, ceil_div(range.count, kTerms<E>), sum, division.k_groups, first,
                           groups, block == partial);
    }
  });
  store_filter(division, sums.data(), outputs, depth, grad_weight, workers.threads);
}

}  // namespace

template <typename T>
void direct_backward_filter(const ConvolutionShape& s, const ConvolutionInput<T>& x, const T* grad_y,
                            float* grad_weight, const Workers& workers) {
  const DirectProduct product = forward_product(s);
  const Grid grid{s.batch, s.out_height, s.out_width};
  constexpr Tap kPixelItself{.row = 0, .column = 0, .index = 0};
  const std::int64_t inputs = s.group_inputs(), outputs = s.group_outputs();
  for (std::int64_t group = 0; group < s.groups; ++group) {
    run<kNativeWidth, T>(
        {{x.data + group * inputs, s.height, s.width, inputs, s.in_channels},
         grid,
         product.in_step,
         product.taps,
         x.affine},
        {{grad_y + group * outputs, s.out_height, s.out_width, outputs, s.out_channels}, grid, 1, {&kPixelItself, 1}},
        grad_weight + group * outputs * s.taps() * inputs, workers);
  }
}

#if !defined(GRADAMP_SIMD_PAIRS)
template void direct_backward_filter(const ConvolutionShape&, const ConvolutionInput<float>&, const float*, float*,
                                     const Workers&);
#endif
template void direct_backward_filter(const ConvolutionShape&, const ConvolutionInput<Bf16>&, const Bf16*, float*,
                                     const Workers&);

}  // namespace gradamp::GRADAMP_SIMD
