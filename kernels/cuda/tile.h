// SPDX-License-Identifier: MIT
// The parts of a tiled matrix product: the layout of a tile in shared memory, and a warp's product of two tiles, by
// tensor cores (bf16, tf32) or by FMA (f32).
//
// In all three precisions a warp's accumulators have the layout of mma's result (picture in ptx.h), so that the code
// before and after the product is the same. Lane 4 group + member holds the elements (group, 2 member + {0, 1}) and
// (group + 8, 2 member + {0, 1}) of each 16 x 8 tile.
#pragma once

#include <cstdint>

#include "gradamp/core/dtype.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/cuda/ptx.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {

/// The layout of an operand's tile in shared memory, by CUTLASS's names: K-major or MN-major. The product sums over k;
/// m and n are its rows and columns.
enum class Major {
  kK,   // a row of the tile is one m (or n), its elements are adjacent in k
  kMN,  // a row of the tile is one k, its elements are adjacent in m (or n)
};

/// A tile of kRows x kColumns elements in 16-byte chunks. The chunks of a row are swizzled, so that one access of a
/// warp has no bank conflict. The pictures show rows 0 to 7; r.c is chunk c of row r. A line is 128 bytes: the 32
/// banks, with the first bank of each chunk above. Without a swizzle, chunk 0 of all rows would be in the first column
/// (of 4 chunks: in two columns). A test compares the pictures with the code.
///
/// Rows of 4 chunks. ldmatrix reads one chunk of 8 rows, for example 0.0, 1.0, ... 7.0, which are in 8 columns:
///
///     bank    0    4    8   12   16   20   24   28
///           0.0  0.1  0.2  0.3  1.0  1.1  1.2  1.3
///           2.1  2.0  2.3  2.2  3.1  3.0  3.3  3.2
///           4.2  4.3  4.0  4.1  5.2  5.3  5.0  5.1
///           6.3  6.2  6.1  6.0  7.3  7.2  7.1  7.0
///
/// Rows of 8 chunks of bf16. ldmatrix reads the same. Of rows of 16 chunks, chunks 8 to 15 are a line of their own:
///
///     bank    0    4    8   12   16   20   24   28
///           0.0  0.1  0.2  0.3  0.4  0.5  0.6  0.7
///           1.1  1.0  1.3  1.2  1.5  1.4  1.7  1.6
///           2.2  2.3  2.0  2.1  2.6  2.7  2.4  2.5
///           3.3  3.2  3.1  3.0  3.7  3.6  3.5  3.4
///           4.4  4.5  4.6  4.7  4.0  4.1  4.2  4.3
///           5.5  5.4  5.7  5.6  5.1  5.0  5.3  5.2
///           6.6  6.7  6.4  6.5  6.2  6.3  6.0  6.1
///           7.7  7.6  7.5  7.4  7.3  7.2  7.1  7.0
///
/// Rows of 8 chunks of f32. Here each lane loads one element: a warp reads two adjacent chunks of 4 rows, for example
/// 0.0, 0.1, 1.0, 1.1, ... 3.1:
///
///     bank    0    4    8   12   16   20   24   28
///           0.0  0.1  0.2  0.3  0.4  0.5  0.6  0.7
///           1.2  1.3  1.0  1.1  1.6  1.7  1.4  1.5
///           2.4  2.5  2.6  2.7  2.0  2.1  2.2  2.3
///           3.6  3.7  3.4  3.5  3.2  3.3  3.0  3.1
///           4.0  4.1  4.2  4.3  4.4  4.5  4.6  4.7
///           5.2  5.3  5.0  5.1  5.6  5.7  5.4  5.5
///           6.4  6.5  6.6  6.7  6.0  6.1  6.2  6.3
///           7.6  7.7  7.4  7.5  7.2  7.3  7.0  7.1
template <typename T, int kRowCount, int kColumnCount>
struct SharedTile {
  static constexpr int kRows = kRowCount, kColumns = kColumnCount;
  static constexpr int kChunks = kColumns / kVector<T>;  // per row
  static constexpr int kElements = kRows * kColumns;
  static_assert(kColumns % kVector<T> == 0 && (kChunks == 4 || kChunks % 8 == 0));

  /// The index, within its row, at which a chunk is stored.
  __device__ static int swizzled(int row, int chunk) {
    if constexpr (kChunks == 4) {
      return chunk ^ ((row >> 1) & 3);  // two rows share a line
    } else if constexpr (sizeof(T) == 2) {
      return chunk ^ (row & 7);
    } else {
      return chunk ^ ((row & 3) << 1);
    }
  }
  __device__ static int chunk_offset(int row, int chunk) { return row * kColumns + swizzled(row, chunk) * kVector<T>; }
  __device__ static int offset(int row, int column) {
    return chunk_offset(row, column / kVector<T>) + column % kVector<T>;
  }
};

/// The element type of a precision's operands.
template <Precision kPrecision>
struct ElementOf {
  using Type = float;
};
template <>
struct ElementOf<Precision::kBF16> {
  using Type = bf16;
};
template <Precision kPrecision>
using Element = typename ElementOf<kPrecision>::Type;

/// One warp's part of a product (warp tile): kTilesM x kTilesN accumulator tiles of 16 x 8.
template <Precision kPrecision, int kTilesM, int kTilesN, typename TileA, Major kMajorA, typename TileB, Major kMajorB>
class WarpProduct {
 public:
  using T = Element<kPrecision>;
  using Accumulators = float[kTilesM][kTilesN][4];

  /// The warp's rows and columns begin at `first_m` and `first_n` of the tiles.
  __device__ WarpProduct(int first_m, int first_n)
      : first_m_(first_m), first_n_(first_n), lane_a_(lane_offset_a(first_m)), lane_b_(lane_offset_b(first_n)) {}

  static constexpr int kDepth = kMajorA == Major::kK ? TileA::kColumns : TileA::kRows;
  /// The depth of one mma; for FMA, of 16 bytes.
  static constexpr int kStep = kPrecision == Precision::kBF16 ? 16 : kPrecision == Precision::kTF32 ? 8 : 4;

  /// One step's operands in registers, for tensor cores.
  struct Fragments {
    std::uint32_t a[kTilesM][4], b[kTilesN][2];
  };
  /// Loads the operands at depths k to k + kStep.
  __device__ __forceinline__ void load_fragments(const T* a, const T* b, int k, Fragments& fragments) const {
#pragma unroll
    for (int i = 0; i < kTilesM; ++i) load_a(a, 16 * i, k, fragments.a[i]);
#pragma unroll
    for (int j = 0; j < kTilesN; j += 2) load_b(b, 8 * j, k, fragments.b[j], fragments.b[j + 1]);
  }
  /// sums += a b of one step.
  __device__ __forceinline__ static void multiply(const Fragments& fragments, Accumulators& sums) {
    if constexpr (kPrecision == Precision::kBF16) {
      mma_tile_bf16(sums, fragments.a, fragments.b);
    } else {
      mma_tile_tf32(sums, fragments.a, fragments.b);
    }
  }

  /// sums += a b at depths k to k + kStep.
  __device__ __forceinline__ void multiply(const T* a, const T* b, int k, Accumulators& sums) const {
    if constexpr (kPrecision == Precision::kF32) {
      multiply_fma(a, b, k, sums);
    } else {
      Fragments fragments;
      load_fragments(a, b, k, fragments);
      multiply(fragments, sums);
    }
  }

 private:
  static_assert(kDepth == (kMajorB == Major::kK ? TileB::kColumns : TileB::kRows));
  static_assert(kTilesN % 2 == 0);

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  // ---- Tensor cores ----
  //
  // The addresses of a lane's ldmatrix are computed once, for the warp's first rows at depth 0. Swizzling is an
  // exclusive or of chunk indices with a value that repeats every 8 rows. So 16 rows further on are as many whole rows,
  // and a step of m, n or k within a row is an exclusive or of the offset.

  /// The offset of lane's row of a's first fragment; unused for elements of 32 bits in MN-major.
  __device__ static int lane_offset_a(int m) {
    if constexpr (kPrecision == Precision::kF32) return 0;
    if constexpr (kMajorA == Major::kK) return TileA::chunk_offset(m + lane() % 16, lane() / 16);
    if constexpr (sizeof(T) == 4) return 0;
    return TileA::chunk_offset(lane() / 16 * 8 + lane() % 8, m / 8 + lane() / 8 % 2);
  }
  __device__ static int lane_offset_b(int n) {
    if constexpr (kPrecision == Precision::kF32) return 0;
    if constexpr (kMajorB == Major::kK) return TileB::chunk_offset(n + lane() / 16 * 8 + lane() % 8, lane() / 8 % 2);
    if constexpr (sizeof(T) == 4) return 0;
    return TileB::chunk_offset(lane() / 8 % 2 * 8 + lane() % 8, n / 8 + lane() / 16);
  }

  /// Loads a's fragment of the 16 rows that begin at the warp's row `m`, at depth k. ldmatrix loads four matrices, 8 x
  /// 8 of 16-bit values or 8 x 4 of 32-bit values: the two halves of the rows at the first half of the depth, then at
  /// the second half.
  __device__ __forceinline__ void load_a(const T* tile, int m, int k, std::uint32_t (&fragment)[4]) const {
    if constexpr (kMajorA == Major::kK) {
      ldmatrix_x4(fragment, tile + ((lane_a_ ^ k) + m * TileA::kColumns));
      round_fragment(fragment);
    } else if constexpr (sizeof(T) == 2) {
      ldmatrix_x4_trans(fragment, tile + ((lane_a_ ^ m) + k * TileA::kColumns));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = k + lane() % 4 + i / 2 * 4;
        fragment[i] = to_tf32(tile[TileA::offset(row, first_m_ + m + lane() / 4 + i % 2 * 8)]);
      }
    }
  }

  /// Loads b's fragments of the warp's columns n ... n + 7 and n + 8 ... n + 15 at depth k.
  __device__ __forceinline__ void load_b(const T* tile, int n, int k, std::uint32_t (&first)[2],
                                         std::uint32_t (&second)[2]) const {
    std::uint32_t both[4];
    if constexpr (kMajorB == Major::kK) {
      ldmatrix_x4(both, tile + ((lane_b_ ^ k) + n * TileB::kColumns));
      round_fragment(both);
    } else if constexpr (sizeof(T) == 2) {
      ldmatrix_x4_trans(both, tile + ((lane_b_ ^ n) + k * TileB::kColumns));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = k + lane() % 4 + i % 2 * 4;
        both[i] = to_tf32(tile[TileB::offset(row, first_n_ + n + lane() / 4 + i / 2 * 8)]);
      }
    }
    first[0] = both[0];
    first[1] = both[1];
    second[0] = both[2];
    second[1] = both[3];
  }

  __device__ __forceinline__ static void round_fragment(std::uint32_t (&fragment)[4]) {
    if constexpr (kPrecision == Precision::kTF32) {
#pragma unroll
      for (std::uint32_t& bits : fragment) bits = to_tf32(__uint_as_float(bits));
    }
  }

  // ---- FMA ----

  /// Four steps of k. A lane owns rows group + 8 i and columns 2 member + 8 j + {0, 1}. Eight lanes read the same
  /// element of b, and four lanes the same element of a, in one access (broadcast).
  __device__ __forceinline__ void multiply_fma(const T* a, const T* b, int k, Accumulators& sums) const {
    float values_a[2 * kTilesM][4];
#pragma unroll
    for (int i = 0; i < 2 * kTilesM; ++i) load_depth<TileA, kMajorA>(a, first_m_ + lane() / 4 + 8 * i, k, values_a[i]);
#pragma unroll
    for (int j = 0; j < 2 * kTilesN; ++j) {
      float values_b[4];
      load_depth<TileB, kMajorB>(b, first_n_ + lane() % 4 * 2 + j / 2 * 8 + j % 2, k, values_b);
#pragma unroll
      for (int i = 0; i < 2 * kTilesM; ++i) {
        float& sum = sums[i / 2][j / 2][i % 2 * 2 + j % 2];
#pragma unroll
        for (int step = 0; step < 4; ++step) sum = __fmaf_rn(values_a[i][step], values_b[step], sum);
      }
    }
  }

  /// Loads elements k ... k + 3 of one m or n.
  template <typename Tile, Major kMajor>
  __device__ __forceinline__ static void load_depth(const T* tile, int mn, int k, float (&values)[4]) {
    if constexpr (kMajor == Major::kK) {
      load<4>(tile + Tile::chunk_offset(mn, k / 4), values);
    } else {
#pragma unroll
      for (int step = 0; step < 4; ++step) values[step] = tile[Tile::offset(k + step, mn)];
    }
  }

  int first_m_, first_n_;
  int lane_a_, lane_b_;  // offsets in the tiles
};

}  // namespace gradamp::GRADAMP_GPU
