// SPDX-License-Identifier: MIT
// Winograd's forward and backward of the input. The latter is a forward with the filter rotated by 180 degrees.
//
// Each block of tiles passes through three stages in the cache of one core: the transform of its inputs (v), 16 matrix
// products with the transformed filter (m = v u), and the transform of m to outputs. The 16 elements of a transformed
// tile are called its positions.
#include "gradamp/kernels/cpu/simd/winograd.h"

#include "gradamp/kernels/cpu/parallel.h"
#include "gradamp/kernels/cpu/simd/moments.h"
#include "gradamp/kernels/cpu/simd/winograd_tiles.h"

namespace gradamp::GRADAMP_SIMD {
namespace {

/// The (K, 3, 3, C) filter in the order in which the pass reads it. Element (input, output, tap) is
/// weight[input * input_stride + output * output_stride + tap * tap_stride].
template <typename T>
struct FilterView {
  const T* weight;
  std::int64_t inputs, outputs, input_stride, output_stride, tap_stride;

  static FilterView plain(const ConvolutionShape& s, const T* weight) {
    return {weight, s.in_channels, s.out_channels, 1, 9 * s.in_channels, s.in_channels};
  }
  /// The filter of the backward of the input: rotated by 180 degrees, with inputs and outputs exchanged.
  static FilterView turned(const ConvolutionShape& s, const T* weight) {
    return {weight + 8 * s.in_channels, s.out_channels, s.in_channels, 9 * s.in_channels, 1, -s.in_channels};
  }
};

/// The transformed filter u = G g G^T: 16 matrices (inputs, outputs). A matrix is stored in the blocks of columns that
/// the register kernel reads. The rows of a block are adjacent in memory. Missing channels are zeros.
struct FilterPositions {
  float* data;
  std::int64_t input_groups, output_groups;

  /// Contains one unused line, for the reason given in TileBuffer.
  static constexpr std::int64_t position_stride(std::int64_t input_groups, std::int64_t output_groups) {
    return (input_groups * output_groups * kGroup + 1) * kGroup;
  }
  static constexpr std::int64_t floats(std::int64_t input_groups, std::int64_t output_groups) {
    return kPositions * position_stride(input_groups, output_groups);
  }
  std::int64_t position_stride() const { return position_stride(input_groups, output_groups); }
  /// Row `input` of the block that begins with group `output_group` and is `groups` groups wide.
  float* row(std::int64_t position, std::int64_t output_group, int groups, std::int64_t input) const {
    return data + position * position_stride() + output_group * input_groups * kGroup * kGroup +
           input * groups * kGroup;
  }
};

/// The taps of 16 inputs and 16 outputs. Outputs are adjacent in memory.
struct FilterBlock {
  alignas(64) float taps[9][kGroup][kGroup] = {};

  template <typename T>
  FilterBlock(const FilterView<T>& view, std::int64_t first_input, std::int64_t first_output) {
    const std::int64_t inputs = std::min<std::int64_t>(kGroup, view.inputs - first_input);
    const std::int64_t outputs = std::min<std::int64_t>(kGroup, view.outputs - first_output);
    const T* const corner = view.weight + first_input * view.input_stride + first_output * view.output_stride;
    for (int tap = 0; tap < 9; ++tap)
      for (std::int64_t i = 0; i < inputs; ++i)
        for (std::int64_t o = 0; o < outputs; ++o)
          taps[tap][i][o] = corner[tap * view.tap_stride + i * view.input_stride + o * view.output_stride];
  }
};

/// Computes the groups of columns [first, first + groups) of u.
template <int kWidth, typename T>
void transform_filter_columns(const FilterView<T>& view, const FilterPositions& u, std::int64_t first, int groups) {
  for (int column = 0; column < groups; ++column) {
    for (std::int64_t input_group = 0; input_group < u.input_groups; ++input_group) {
      const FilterBlock block(view, input_group * kGroup, (first + column) * kGroup);
      for (int input = 0; input < kGroup; ++input) {
        float* const row = u.row(0, first, groups, input_group * kGroup + input) + column * kGroup;
        for (int lane = 0; lane < kGroup; lane += kWidth) {
          to_positions<kWidth, FilterTransform>(
              [&](int r, int s) { return load<kWidth>(block.taps[3 * r + s][input] + lane); }, row + lane,
              u.position_stride());
        }
      }
    }
  }
}

/// A convolution of `in` to `out`. The tiles of `grid` are tiles of `out`.
template <typename T>
struct Pass {
  Grid grid;
  TiledImages<const T> in;
  const T* zeros;  // in.channels zeros
  FilterPositions filter;
  const float* bias;  // filled up with zeros to whole groups
  TiledImages<T> out;
  MomentsOutput moments;  // the tiles of a task are a group
};

/// The number of output groups of which a task has m in memory at a time. v is computed once for all output groups.
constexpr std::int64_t kOutputGroups = 8;

/// Tiles per block. A block is one task. v and m of 48 tiles of 64 channels fit a second-level cache of half a MiB
/// together with the part of u that is in use. Wide filters do not fit it and are read again for each block. For them
/// larger blocks are faster, if there are still several tasks.
std::int64_t tiles_per_block(std::int64_t tiles, std::int64_t input_groups, std::int64_t output_groups) {
  constexpr std::int64_t kMinTasks = 8, kStep = 12;  // 12 rows are whole blocks of most register kernels
  const std::int64_t preferred = input_groups * output_groups <= 32 ? 48 : 96;
  return std::min(preferred, ceil_div(tiles, kMinTasks * kStep) * kStep);
}

/// m = v u for `tiles` tiles and m.groups groups of outputs, beginning with group `first`.
template <int kWidth>
void multiply_positions(const TileBuffer& v, const FilterPositions& u, std::int64_t first, const TileBuffer& m,
                        std::int64_t tiles) {
  constexpr std::int64_t kDepthGroups = kMaxDepth / kGroup;
  for (int position = 0; position < kPositions; ++position) {
    for (std::int64_t column = 0; column < m.groups;) {
      const int groups = block_groups<kWidth>(m.groups - column);
      for (std::int64_t input = 0; input < v.groups; input += kDepthGroups) {
        multiply<kWidth, ProductKind::kPlain>(tiles, groups,
                                              {.a = v.line(position, input, 0),
                                               .a_group = v.group_stride(),
                                               .b = u.row(position, first + column, groups, input * kGroup),
                                               .b_group = kGroup,
                                               .c = m.line(position, column, 0),
                                               .c_group = m.group_stride(),
                                               .depth = std::min(kDepthGroups, v.groups - input) * kGroup,
                                               .overwrite = input == 0});
      }
      column += groups;
    }
  }
}

/// Transforms the positions of one tile, which begin at `line`, to its pixels, and adds the bias. `bias` is filled up
/// with zeros to whole groups. With kMoments, adds the pixels to `sums`, which `is_first` begins.
template <int kWidth, bool kMoments, typename T>
[[gnu::always_inline]] inline void positions_to_tile(const float* line, std::int64_t group_stride,
                                                     std::int64_t position_stride, const float* bias,
                                                     T* const (&pixels)[2][2], std::int64_t channels,
                                                     const ShiftedSums& sums, bool is_first) {
  for (std::int64_t channel = 0; channel < channels; channel += kWidth) {
    const Simd<kWidth> offset = load<kWidth>(bias + channel);
    const float* const first = line + channel / kGroup * group_stride + channel % kGroup;
    Simd<kWidth> shift{}, sum{}, squares{};
    if (kMoments && !is_first) shift = load<kWidth>(sums.shift(channel));
    from_positions<kWidth, OutputTransform>(
        [=](int position) { return load<kWidth>(first + position * position_stride); },
        [&](int r, int s, const Simd<kWidth>& value) {
          const Simd<kWidth> result = value + offset;
          store_first<kWidth>(pixels[r][s] + channel, result, channels - channel);
          if constexpr (kMoments) {
            if (r == 0 && s == 0 && is_first) shift = result;
            const Simd<kWidth> d = result - shift;
            sum += d;
            squares += d * d;
          }
        });
    if constexpr (kMoments) {
      if (is_first) {
        store<kWidth>(sums.shift(channel), shift);
      } else {
        sum += load<kWidth>(sums.sum(channel));
        squares += load<kWidth>(sums.squares(channel));
      }
      store<kWidth>(sums.sum(channel), sum);
      store<kWidth>(sums.squares(channel), squares);
    }
  }
}

/// Computes the pixels of a range of tiles for the channels of m, beginning with channel `first_channel`. Pixels
/// outside the image are written to `outside`, which has space for the channels of one pixel.
template <int kWidth, bool kMoments, typename T>
void positions_to_tiles(const Pass<T>& pass, const PlaceRange& range, std::int64_t first_channel, const TileBuffer& m,
                        T* outside, const ShiftedSums& sums) {
  const TiledImages<T>& out = pass.out;
  const std::int64_t channels = std::min(m.groups * kGroup, out.channels - first_channel);
  Place place(pass.grid, range.first);
  for (std::int64_t tile = 0; tile < range.count; ++tile, place.advance(pass.grid)) {
    const std::int64_t top = out.top(place), left = out.left(place);
    prefetch_below<2>(out, place.image, top, left, first_channel, channels);
    T* pixels[2][2];
    for (int r = 0; r < 2; ++r)
      for (int s = 0; s < 2; ++s)
        pixels[r][s] =
            out.contains(top + r, left + s) ? out.pixel(place.image, top + r, left + s) + first_channel : outside;
    positions_to_tile<kWidth, kMoments>(m.line(0, 0, tile), m.group_stride(), m.position_stride(),
                                        pass.bias + first_channel, pixels, channels, sums, tile == 0);
  }
}

/// Computes u = G g G^T for the whole filter.
template <int kWidth, typename T>
void transform_filter(const FilterView<T>& view, const FilterPositions& u, int threads) {
  parallel_tasks(threads, ceil_div(u.output_groups, kOutputGroups), [&](std::int64_t task, int) {
    const std::int64_t last = std::min((task + 1) * kOutputGroups, u.output_groups);
    for (std::int64_t first = task * kOutputGroups; first < last;) {
      const int groups = block_groups<kWidth>(last - first);
      transform_filter_columns<kWidth>(view, u, first, groups);
      first += groups;
    }
  });
}

template <int kWidth, typename T>
void run(const Pass<T>& pass, const Workers& workers) {
  const FilterPositions& u = pass.filter;
  const std::int64_t tiles = pass.grid.count(), block = tiles_per_block(tiles, u.input_groups, u.output_groups);
  const std::int64_t tasks = ceil_div(tiles, block);
  const int threads = static_cast<int>(std::min<std::int64_t>(workers.threads, tasks));
  const std::int64_t v_floats = TileBuffer::floats(block, u.input_groups);
  const std::int64_t m_floats = TileBuffer::floats(block, std::min(kOutputGroups, u.output_groups));
  constexpr std::int64_t kOutputs = kOutputGroups * kGroup;
  const std::int64_t floats = v_floats + m_floats + kOutputs + ShiftedSums::floats(kOutputs);
  const Scratch scratch(workers.allocator, threads * floats);
  parallel_tasks(threads, tasks, [&](std::int64_t task, int thread) {
    float* const memory = scratch.data() + thread * floats;
    T* const outside = reinterpret_cast<T*>(memory + v_floats + m_floats);
    const ShiftedSums sums{memory + v_floats + m_floats + kOutputs, kOutputs};
    const PlaceRange range{task * block, std::min(block, tiles - task * block)};
    const TileBuffer v{memory, block, u.input_groups};
    tiles_to_positions<kWidth, InputTransform>(pass.grid, range, pass.in, pass.zeros, v);
    for (std::int64_t first = 0; first < u.output_groups; first += kOutputGroups) {
      const TileBuffer m{memory + v_floats, block, std::min(kOutputGroups, u.output_groups - first)};
      multiply_positions<kWidth>(v, u, first, m, range.count);
      if (pass.moments.values == nullptr) {
        positions_to_tiles<kWidth, false>(pass, range, first * kGroup, m, outside, sums);
        continue;
      }
      positions_to_tiles<kWidth, true>(pass, range, first * kGroup, m, outside, sums);
      sums.finish(range.count * 4, std::min(kOutputs, pass.out.channels - first * kGroup),
                  pass.moments.at(task, first * kGroup));
    }
  });
}

/// Convolves `in` to `out` with the filter, adds the bias unless it is null, and computes the moments unless they are.
template <typename T>
void convolve(const TiledImages<const T>& in, const FilterView<T>& view, const float* bias, const TiledImages<T>& out,
              float* moments, std::int64_t batch, const Workers& workers) {
  const std::int64_t inputs = groups_of(view.inputs), outputs = groups_of(view.outputs);
  const Scratch filter(workers.allocator, FilterPositions::floats(inputs, outputs));
  const FilterPositions u{filter.data(), inputs, outputs};
  transform_filter<kNativeWidth>(view, u, workers.threads);

  const Scratch constants(workers.allocator, outputs * kGroup + in.channels);
  float* const padded_bias = constants.data();
  T* const zeros = reinterpret_cast<T*>(padded_bias + outputs * kGroup);
  std::fill_n(padded_bias, outputs * kGroup + in.channels, 0.0f);
  if (bias != nullptr) std::copy_n(bias, view.outputs, padded_bias);
  run<kNativeWidth>(Pass<T>{.grid = tile_grid(batch, out.height, out.width),
                            .in = in,
                            .zeros = zeros,
                            .filter = u,
                            .bias = padded_bias,
                            .out = out,
                            .moments = {moments, out.channels}},
                    workers);
}

}  // namespace

std::int64_t winograd_moment_rows(const ConvolutionShape& s) {
  if (s.out_height % 2 != 0 || s.out_width % 2 != 0) return 0;
  const std::int64_t tiles = tile_grid(s.batch, s.out_height, s.out_width).count();
  return 4 * tiles_per_block(tiles, groups_of(s.in_channels), groups_of(s.out_channels));
}

template <typename T>
void winograd_forward(const ConvolutionShape& s, const ConvolutionInput<T>& x, const T* weight, const float* bias, T* y,
                      float* moments, const Workers& workers) {
  convolve<T>({{x.data, s.height, s.width, s.in_channels}, s.padding, x.affine}, FilterView<T>::plain(s, weight), bias,
              {{y, s.out_height, s.out_width, s.out_channels}, 0}, moments, s.batch, workers);
}

template <typename T>
void winograd_backward_input(const ConvolutionShape& s, const T* grad_y, const T* weight, T* grad_x,
                             const Workers& workers) {
  convolve<T>({{grad_y, s.out_height, s.out_width, s.out_channels}, 2 - s.padding}, FilterView<T>::turned(s, weight),
              nullptr, {{grad_x, s.height, s.width, s.in_channels}, 0}, nullptr, s.batch, workers);
}

template void winograd_forward(const ConvolutionShape&, const ConvolutionInput<float>&, const float*, const float*,
                               float*, float*, const Workers&);
template void winograd_forward(const ConvolutionShape&, const ConvolutionInput<Bf16>&, const Bf16*, const float*, Bf16*,
                               float*, const Workers&);
template void winograd_backward_input(const ConvolutionShape&, const float*, const float*, float*, const Workers&);
template void winograd_backward_input(const ConvolutionShape&, const Bf16*, const Bf16*, Bf16*, const Workers&);

}  // namespace gradamp::GRADAMP_SIMD
