// SPDX-License-Identifier: MIT
// The direct forward and backward of the input.
#include "gradamp/kernels/cpu/simd/direct.h"

#include "gradamp/kernels/cpu/parallel.h"
#include "gradamp/kernels/cpu/simd/moments.h"
#include "gradamp/kernels/cpu/simd/patches.h"

namespace gradamp::GRADAMP_SIMD {
namespace {

/// The (K, R, S, C) filter in the order in which the pass reads it. Element (tap, input, output) is
/// weight[tap * tap_stride + input * input_stride + output * output_stride].
template <typename T>
struct FilterView {
  const T* weight;
  std::int64_t inputs, outputs, tap_stride, input_stride, output_stride;
};

/// B: the filter as a matrix (taps * inputs, outputs), stored in the blocks of columns that the register kernel reads.
/// The rows of a block are adjacent in memory; a row of pairs is two of the matrix. Missing rows and columns are zeros.
template <typename E>
struct PackedFilter {
  E* data;
  std::int64_t depth_groups, output_groups;

  static constexpr std::int64_t elements(std::int64_t depth_groups, std::int64_t output_groups) {
    return depth_groups * output_groups * kGroup * kGroup;
  }
  /// Row `row` of the block that begins with group `output_group` and is `groups` groups wide.
  E* row(std::int64_t output_group, int groups, std::int64_t row) const {
    return data + output_group * depth_groups * kGroup * kGroup + row * groups * kGroup;
  }
};

/// Packs the groups of columns [first, first + groups), which are one block.
template <typename T, typename E>
void pack_columns(const FilterView<T>& view, std::span<const Tap> taps, const PackedFilter<E>& packed,
                  std::int64_t first, int groups) {
  const std::int64_t columns = groups * kGroup, first_output = first * kGroup;
  const std::int64_t outputs = std::min(columns, view.outputs - first_output);
  E* const block = packed.row(first, groups, 0);
  const auto clear = [&](std::int64_t row, std::int64_t from) {
    for (std::int64_t o = from; o < columns; ++o) term_of(block + o, columns, row) = 0.0f;
  };
  std::int64_t row = 0;
  for (const Tap& tap : taps) {
    const T* const corner = view.weight + tap.index * view.tap_stride + first_output * view.output_stride;
    for (std::int64_t input = 0; input < view.inputs; ++input, ++row) {
      for (std::int64_t o = 0; o < outputs; ++o)
        term_of(block + o, columns, row) = corner[input * view.input_stride + o * view.output_stride];
      clear(row, outputs);
    }
  }
  for (; row < packed.depth_groups * kGroupColumns<E>; ++row) clear(row, 0);
}

/// Groups of columns per task at most: what a task has of y in its cache.
constexpr std::int64_t kMaxColumnGroups = 32;
/// Column ranges begin at multiples of the widest block.
constexpr std::int64_t kBlockGroups = 4;
/// If there are fewer pixels than this number of tasks needs, the columns are divided too.
constexpr std::int64_t kMinTasks = 8;

/// How a product is divided into tasks: ranges of rows of A, each with ranges of columns of B.
struct Division {
  std::int64_t pixels, rows, row_ranges, groups, column_groups, column_ranges;

  Division(std::int64_t all_pixels, std::int64_t output_groups) : pixels(all_pixels), groups(output_groups) {
    constexpr std::int64_t kRows = 96, kStep = 12;  // 12 rows are whole blocks of most register kernels
    rows = std::min(kRows, ceil_div(pixels, kMinTasks * kStep) * kStep);
    row_ranges = ceil_div(pixels, rows);
    column_groups = kMaxColumnGroups;
    if (row_ranges < kMinTasks) {
      const std::int64_t wanted = ceil_div(groups, ceil_div(kMinTasks, row_ranges));
      column_groups = std::min(kMaxColumnGroups, ceil_div(wanted, kBlockGroups) * kBlockGroups);
    }
    column_ranges = ceil_div(groups, column_groups);
  }
  std::int64_t tasks() const { return row_ranges * column_ranges; }
};

template <int kWidth, typename T, typename E>
void pack_filter(const FilterView<T>& view, std::span<const Tap> taps, const PackedFilter<E>& packed, int threads) {
  parallel_tasks(threads, ceil_div(packed.output_groups, kBlockGroups), [&](std::int64_t task, int) {
    const std::int64_t last = std::min((task + 1) * kBlockGroups, packed.output_groups);
    for (std::int64_t first = task * kBlockGroups; first < last;) {
      const int groups = block_groups<kWidth>(last - first);
      pack_columns(view, taps, packed, first, groups);
      first += groups;
    }
  });
}

/// c = A B for the rows in `range` and the columns of c, which begin with group `first`. `a` is memory for a part of A.
template <int kWidth, typename T, typename E>
void multiply_patches(const Patches<T>& patches, const PlaceRange& range, const PackedFilter<E>& b, std::int64_t first,
                      std::int64_t column_groups, const Lines<E>& a, const Lines<float>& c) {
  constexpr std::int64_t kDepthGroups = kMaxDepth / kGroupColumns<E>;
  for (std::int64_t depth = 0; depth < b.depth_groups; depth += kDepthGroups) {
    const std::int64_t depth_groups = std::min(kDepthGroups, b.depth_groups - depth);
    copy_patches<kWidth>(patches, range, depth, depth_groups, a);
    for (std::int64_t column = 0; column < column_groups;) {
      const int groups = block_groups<kWidth>(column_groups - column);
      multiply<kWidth, ProductKind::kPlain, E>(range.count, groups,
                                               {.a = a.data,
                                                .a_group = a.group_stride,
                                                .b = b.row(first + column, groups, depth * kGroup),
                                                .b_group = kGroup,
                                                .c = c.data + column * c.group_stride,
                                                .c_group = c.group_stride,
                                                .depth = depth_groups * kGroup,
                                                .overwrite = depth == 0});
      column += groups;
    }
  }
}

/// The pixels that a product computes.
template <typename T>
struct Outputs {
  const DirectProduct& product;
  Images<T> images;
  const float* bias;  // filled up with zeros to whole groups
};

/// Writes the rows of c, plus the bias, to the pixels in `range`, beginning with channel `first`.
template <int kWidth, typename T>
void store_pixels(const Outputs<T>& outputs, const Grid& grid, const PlaceRange& range, std::int64_t first,
                  std::int64_t channels, const Lines<float>& c) {
  const DirectProduct& product = outputs.product;
  Place place(grid, range.first);
  for (std::int64_t row = 0; row < range.count; ++row, place.advance(grid)) {
    T* const pixel = outputs.images.pixel(place.image, product.out_step * place.row + product.out_row,
                                          product.out_step * place.column + product.out_column) +
                     first;
    const float* const lines = c.data + row * kGroup;
    for (std::int64_t channel = 0; channel < channels; channel += kWidth)
      store_first<kWidth>(pixel + channel,
                          load<kWidth>(lines + channel / kGroup * c.group_stride + channel % kGroup) +
                              load<kWidth>(outputs.bias + first + channel),
                          channels - channel);
  }
}

/// Computes the pixels of `images` that belong to the product, and adds the bias unless it is null. Computes
/// their moments unless these are null; the rows of a task are a group.
template <int kWidth, typename T>
void run(const Patches<T>& patches, const FilterView<T>& view, const DirectProduct& product, const float* bias,
         const Images<T>& images, const MomentsOutput& moments, const Workers& workers) {
  using E = Operand<T>;
  const std::int64_t depth_groups = ceil_div(patches.depth(), kGroupColumns<E>);
  const std::int64_t output_groups = groups_of(view.outputs);
  const Scratch padded_bias(workers.allocator, output_groups * kGroup);
  std::fill_n(padded_bias.data(), output_groups * kGroup, 0.0f);
  if (bias != nullptr) std::copy_n(bias, view.outputs, padded_bias.data());
  const Outputs<T> outputs{product, images, padded_bias.data()};
  static_assert(sizeof(E) == sizeof(float));  // memory for as many
  const Scratch filter(workers.allocator, PackedFilter<E>::elements(depth_groups, output_groups));
  const PackedFilter<E> b{reinterpret_cast<E*>(filter.data()), depth_groups, output_groups};
  pack_filter<kWidth>(view, patches.taps, b, workers.threads);

  const Division division(patches.grid.count(), output_groups);
  const std::int64_t line_floats = division.rows * kGroup;
  const std::int64_t a_floats = kMaxDepth / kGroupColumns<E> * line_floats;
  const std::int64_t floats = a_floats + division.column_groups * line_floats;
  const int threads = static_cast<int>(std::min<std::int64_t>(workers.threads, division.tasks()));
  const Scratch scratch(workers.allocator, threads * floats);
  parallel_tasks(threads, division.tasks(), [&](std::int64_t task, int thread) {
    float* const memory = scratch.data() + thread * floats;
    const Lines<E> a{reinterpret_cast<E*>(memory), line_floats};
    const Lines<float> c{memory + a_floats, line_floats};
    const std::int64_t first_row = task % division.row_ranges * division.rows;
    const PlaceRange range{first_row, std::min(division.rows, division.pixels - first_row)};
    const std::int64_t first = task / division.row_ranges * division.column_groups;
    const std::int64_t groups = std::min(division.column_groups, output_groups - first);
    const std::int64_t channels = std::min(groups * kGroup, view.outputs - first * kGroup);
    multiply_patches<kWidth>(patches, range, b, first, groups, a, c);
    store_pixels<kWidth>(outputs, patches.grid, range, first * kGroup, channels, c);
    if (moments.values != nullptr)
      moments_of_lines<kWidth>(c.data, c.group_stride, range.count, channels, outputs.bias + first * kGroup,
                               moments.at(first_row / division.rows, first * kGroup));
  });
}

}  // namespace

std::int64_t direct_moment_rows(const ConvolutionShape& s) {
  return Division(s.batch * s.out_height * s.out_width, groups_of(s.group_outputs())).rows;
}

template <typename T>
void direct_forward(const ConvolutionShape& s, const ConvolutionInput<T>& x, const T* weight, const float* bias, T* y,
                    float* moments, const Workers& workers) {
  const DirectProduct product = forward_product(s);
  const Grid grid{s.batch, product.rows, product.columns};
  const std::int64_t inputs = s.group_inputs(), outputs = s.group_outputs(), depth = s.taps() * inputs;
  for (std::int64_t group = 0; group < s.groups; ++group) {
    const std::int64_t first = group * outputs;
    run<kNativeWidth, T>({{x.data + group * inputs, s.height, s.width, inputs, s.in_channels},
                          grid,
                          product.in_step,
                          product.taps,
                          x.affine},
                         {.weight = weight + first * depth,
                          .inputs = inputs,
                          .outputs = outputs,
                          .tap_stride = inputs,
                          .input_stride = 1,
                          .output_stride = depth},
                         product, bias != nullptr ? bias + first : nullptr,
                         {y + first, s.out_height, s.out_width, outputs, s.out_channels},
                         {moments != nullptr ? moments + first : nullptr, s.out_channels}, workers);
  }
}

template <typename T>
void direct_backward_input(const ConvolutionShape& s, const T* grad_y, const T* weight, T* grad_x,
                           const Workers& workers) {
  const std::int64_t image = s.height * s.width * s.in_channels;
  const std::int64_t inputs = s.group_inputs(), outputs = s.group_outputs(), depth = s.taps() * inputs;
  const DirectProducts products = backward_input_products(s);
  const auto has_no_taps = [](const DirectProduct& product) { return product.taps.empty(); };
  if (std::any_of(products.list.begin(), products.list.end(), has_no_taps))
    parallel_for(workers.threads, s.batch, [&](std::int64_t i) { std::fill_n(grad_x + i * image, image, T{}); });
  for (const DirectProduct& product : products.list) {
    if (has_no_taps(product)) continue;
    for (std::int64_t group = 0; group < s.groups; ++group) {
      run<kNativeWidth, T>({{grad_y + group * outputs, s.out_height, s.out_width, outputs, s.out_channels},
                            {s.batch, product.rows, product.columns},
                            product.in_step,
                            product.taps},
                           {.weight = weight + group * outputs * depth,
                            .inputs = outputs,
                            .outputs = inputs,
                            .tap_stride = inputs,
                            .input_stride = depth,
                            .output_stride = 1},
                           product, nullptr, {grad_x + group * inputs, s.height, s.width, inputs, s.in_channels},
                           {nullptr, s.in_channels}, workers);
    }
  }
}

#if !defined(GRADAMP_SIMD_PAIRS)
template void direct_forward(const ConvolutionShape&, const ConvolutionInput<float>&, const float*, const float*,
                             float*, float*, const Workers&);
template void direct_backward_input(const ConvolutionShape&, const float*, const float*, float*, const Workers&);
#endif
template void direct_forward(const ConvolutionShape&, const ConvolutionInput<Bf16>&, const Bf16*, const float*, Bf16*,
                             float*, const Workers&);
template void direct_backward_input(const ConvolutionShape&, const Bf16*, const Bf16*, Bf16*, const Workers&);

}  // namespace gradamp::GRADAMP_SIMD
