// SPDX-License-Identifier: MIT
// Winograd's backward of the filter: dg = G^T [sum over tiles of z v] G with z = A dy A^T and v = B^T d B. The sums are
// 16 matrices (K, C), called du here.
//
// The sum has up to a million terms. It is computed in three levels, each in a fixed order: up to 128 tiles of a block
// are summed in registers, blocks are summed into a partial du, and partial du's are summed into du.
//   Narrow filters: task i of 8 sums the blocks i, i + 8, i + 16, ... into its own partial du. This partial du stays in
//     the cache of a core, together with v and z of the block.
//   Wide filters, whose du does not fit a cache: there is only one du. All threads compute v and z of one block. Then
//     each task adds the block to its own part of du, which is one position and a few groups of K.
#include <span>
#include <vector>

#include "gradamp/kernels/cpu/parallel.h"
#include "gradamp/kernels/cpu/simd/winograd.h"
#include "gradamp/kernels/cpu/simd/winograd_tiles.h"

namespace gradamp::GRADAMP_SIMD {
namespace {

/// Number of partial sums of a narrow filter. It is also the maximum number of concurrent tasks.
constexpr std::int64_t kPartials = 8;
/// Maximum number of floats in du of a narrow filter: 1 MiB, which is 128 input and 128 output channels.
constexpr std::int64_t kMaxNarrow = 256 * 1024;
/// Groups of K per task of a wide filter.
constexpr std::int64_t kTaskGroups = 4;

template <typename T>
struct Problem {
  Grid grid;
  TiledImages<const T> x, grad_y;
  std::int64_t c_groups, k_groups;
  const T* zeros;
};

/// du: 16 matrices (K, C) in blocks of 16 x 16.
struct FilterSums {
  float* data;
  std::int64_t c_groups, k_groups;

  static constexpr std::int64_t floats(std::int64_t c_groups, std::int64_t k_groups) {
    return kPositions * c_groups * k_groups * kGroup * kGroup;
  }
  float* block(std::int64_t position, std::int64_t k_group, std::int64_t c_group) const {
    return data + ((position * k_groups + k_group) * c_groups + c_group) * kGroup * kGroup;
  }
};

/// v and z of a block of tiles.
struct TileBlock {
  TileBuffer v, z;

  template <typename T>
  static std::int64_t floats(std::int64_t tiles, const Problem<T>& p) {
    return TileBuffer::floats(tiles, p.c_groups) + TileBuffer::floats(tiles, p.k_groups);
  }
  template <typename T>
  TileBlock(float* memory, std::int64_t tiles, const Problem<T>& p)
      : v{memory, tiles, p.c_groups}, z{memory + TileBuffer::floats(tiles, p.c_groups), tiles, p.k_groups} {}
};

/// Computes v and z of the tiles in `range` and stores them in the block, beginning with line `at`.
template <int kWidth, typename T>
void fill_block(const Problem<T>& p, const PlaceRange& range, const TileBlock& block, std::int64_t at) {
  const auto from_line = [at](TileBuffer buffer) {
    buffer.data += at * kGroup;
    return buffer;
  };
  tiles_to_positions<kWidth, InputTransform>(p.grid, range, p.x, p.zeros, from_line(block.v));
  tiles_to_positions<kWidth, GradOutputTransform>(p.grid, range, p.grad_y, p.zeros, from_line(block.z));
}

/// du = z^T v (if `overwrite`) or du += z^T v at one position, for the groups [first, last) of K. `tiles` is at most
/// kMaxDepth.
template <int kWidth>
void add_products(const TileBlock& block, std::int64_t tiles, const FilterSums& du, int position, std::int64_t first,
                  std::int64_t last, bool overwrite) {
  for (std::int64_t column = 0; column < du.c_groups;) {
    const int groups = block_groups<kWidth>(du.c_groups - column);
    for (std::int64_t row = first; row < last; ++row) {
      multiply<kWidth, ProductKind::kTransposed>(kGroup, groups,
                                                 {.a = block.z.line(position, row, 0),
                                                  .a_group = 0,
                                                  .b = block.v.line(position, column, 0),
                                                  .b_group = block.v.group_stride(),
                                                  .c = du.block(position, row, column),
                                                  .c_group = kGroup * kGroup,
                                                  .depth = tiles,
                                                  .overwrite = overwrite});
    }
    column += groups;
  }
}

/// Adds the partial sums in their order and transforms the result to grad_weight (K, 3, 3, C).
template <int kWidth, typename T>
void store_filter(const Problem<T>& p, std::span<const FilterSums> partials, float* grad_weight, int threads) {
  const std::int64_t channels = p.x.channels;
  parallel_for(threads, p.grad_y.channels, [&](std::int64_t k) {
    for (std::int64_t c = 0; c < channels; c += kWidth) {
      const auto sum = [&](int position) {
        const std::int64_t at = k % kGroup * kGroup + c % kGroup;
        Simd<kWidth> total = load<kWidth>(partials[0].block(position, k / kGroup, c / kGroup) + at);
        for (const FilterSums& other : partials.subspan(1))
          total += load<kWidth>(other.block(position, k / kGroup, c / kGroup) + at);
        return total;
      };
      from_positions<kWidth, GradFilterTransform>(sum, [&](int r, int s, const Simd<kWidth>& value) {
        store_first<kWidth>(grad_weight + (k * 9 + 3 * r + s) * channels + c, value, channels - c);
      });
    }
  });
}

/// Tiles per block of a narrow filter. v, z and du stay in a second-level cache of half a MiB. If du alone is larger
/// than that, the block has many tiles, so that du is read and written less often.
template <typename T>
std::int64_t narrow_block(const Problem<T>& p) {
  const std::int64_t groups = p.c_groups + p.k_groups;
  return p.c_groups * p.k_groups <= 32 ? std::clamp<std::int64_t>(384 / groups, 48, kMaxDepth) : 96;
}

/// Tiles per block of a wide filter. v and z of a block have several MiB, so that threads rarely wait for each other.
constexpr std::int64_t kWideBlock = kMaxDepth;

template <int kWidth, typename T>
void run_narrow(const Problem<T>& p, float* grad_weight, const Workers& workers) {
  const std::int64_t tiles = p.grid.count(), size = std::min(tiles, narrow_block(p));
  const std::int64_t blocks = ceil_div(tiles, size), tasks = std::min(blocks, kPartials);
  const int threads = static_cast<int>(std::min<std::int64_t>(workers.threads, tasks));
  const Scratch memory(workers.allocator, threads * TileBlock::floats(size, p));
  const std::int64_t sum_floats = FilterSums::floats(p.c_groups, p.k_groups);
  const Scratch sums(workers.allocator, tasks * sum_floats);
  std::vector<FilterSums> partials;
  for (std::int64_t i = 0; i < tasks; ++i) partials.push_back({sums.data() + i * sum_floats, p.c_groups, p.k_groups});

  parallel_tasks(threads, tasks, [&](std::int64_t task, int thread) {
    const TileBlock block(memory.data() + thread * TileBlock::floats(size, p), size, p);
    for (std::int64_t i = task; i < blocks; i += tasks) {
      const PlaceRange range{i * size, std::min(size, tiles - i * size)};
      fill_block<kWidth>(p, range, block, 0);
      for (int position = 0; position < kPositions; ++position)
        add_products<kWidth>(block, range.count, partials[static_cast<std::size_t>(task)], position, 0, p.k_groups,
                             i == task);
    }
  });
  store_filter<kWidth>(p, partials, grad_weight, workers.threads);
}

template <int kWidth, typename T>
void run_wide(const Problem<T>& p, float* grad_weight, const Workers& workers) {
  const std::int64_t tiles = p.grid.count(), size = std::min(tiles, kWideBlock);
  const Scratch memory(workers.allocator, TileBlock::floats(size, p));
  const Scratch sums(workers.allocator, FilterSums::floats(p.c_groups, p.k_groups));
  const FilterSums du{sums.data(), p.c_groups, p.k_groups};
  const TileBlock block(memory.data(), size, p);
  const std::int64_t tasks_of_k = ceil_div(p.k_groups, kTaskGroups);
  for (std::int64_t first = 0; first < tiles; first += size) {
    const std::int64_t count = std::min(size, tiles - first);
    parallel_tasks(workers.threads, ceil_div(count, kGroup), [&](std::int64_t task, int) {
      const std::int64_t at = task * kGroup;
      fill_block<kWidth>(p, {first + at, std::min<std::int64_t>(kGroup, count - at)}, block, at);
    });
    parallel_tasks(workers.threads, kPositions * tasks_of_k, [&](std::int64_t task, int) {
      const std::int64_t k_group = task % tasks_of_k * kTaskGroups;
      add_products<kWidth>(block, count, du, static_cast<int>(task / tasks_of_k), k_group,
                           std::min(k_group + kTaskGroups, p.k_groups), first == 0);
    });
  }
  store_filter<kWidth>(p, std::span(&du, 1), grad_weight, workers.threads);
}

}  // namespace

template <typename T>
void winograd_backward_filter(const ConvolutionShape& s, const ConvolutionInput<T>& x, const T* grad_y,
                              float* grad_weight, const Workers& workers) {
  const std::int64_t channels = std::max(s.in_channels, s.out_channels);
  const Scratch zeros(workers.allocator, channels);
  std::fill_n(zeros.data(), channels, 0.0f);
  const Problem<T> problem{.grid = tile_grid(s.batch, s.out_height, s.out_width),
                           .x = {{x.data, s.height, s.width, s.in_channels}, s.padding, x.affine},
                           .grad_y = {{grad_y, s.out_height, s.out_width, s.out_channels}, 0},
                           .c_groups = groups_of(s.in_channels),
                           .k_groups = groups_of(s.out_channels),
                           .zeros = reinterpret_cast<const T*>(zeros.data())};
  const bool narrow = FilterSums::floats(problem.c_groups, problem.k_groups) <= kMaxNarrow;
  (narrow ? run_narrow<kNativeWidth, T> : run_wide<kNativeWidth, T>)(problem, grad_weight, workers);
}

template void winograd_backward_filter(const ConvolutionShape&, const ConvolutionInput<float>&, const float*, float*,
                                       const Workers&);
template void winograd_backward_filter(const ConvolutionShape&, const ConvolutionInput<Bf16>&, const Bf16*, float*,
                                       const Workers&);

}  // namespace gradamp::GRADAMP_SIMD
