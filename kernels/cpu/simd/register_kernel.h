// SPDX-License-Identifier: MIT
// The innermost loop of the CPU's own convolutions: C[M][N] += A[M][L] B[L][N], with a block of C in registers.
//
// A step of L multiplies one column of A with one row of B: kRows scalars, each spread over a vector, times kVectors
// vectors, summed in kRows x kVectors registers. The block must have many more products than loads (kRows * kVectors
// against kRows + kVectors), and at least as many sums as the processor has products in flight (about 8), yet leave
// registers for a row of B and a scalar of A:
//
//                         B   | b0 | b1 | b2 | b3 |          AVX-512, 32 registers: 6 rows x 64 columns, 24 sums
//            a0  spread       | += | += | += | += |                  (narrow B)    14 rows x 32 columns, 28 sums
//       A    a1               | += | += | += | += |                                28 rows x 16 columns, 28 sums
//            ..               | .. | .. | .. | .. |          AVX2, 16 registers:    6 rows x 16 columns, 12 sums
//            a5               | += | += | += | += |
//
// All matrices are stored in groups of 16 columns, as lines of 16 floats (64 bytes, a cache line): element (row,
// column) of a matrix is at (column / 16) * group + row * 16 + column % 16. So all distances within a block are
// constants.
//
// The elements of A and B are floats, or pairs of bf16 (kernels/cpu/simd/bf16_pairs.h): two elements that are adjacent
// in L's direction. L counts pairs then, and a step adds two products to each sum. C is always floats.
//
// Every element of C is the sum of its products in the order of L, with one rounding per product (a fused
// multiply-add), whatever the width of the vectors and the size of the block: the bits depend on neither.
#pragma once

#include "gradamp/kernels/cpu/simd/bf16_pairs.h"

namespace gradamp::GRADAMP_SIMD {

/// Columns in a group, on every instruction set.
inline constexpr int kGroup = 16;

/// Maximum number of products that are summed in registers before the sum is added to memory. A sum of partial sums has
/// smaller rounding errors than one long sum, and the part of B that a block reads stays in the first-level cache.
inline constexpr std::int64_t kMaxDepth = 128;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The number of groups of 16 that `columns` columns need.
constexpr std::int64_t groups_of(std::int64_t columns) { return ceil_div(columns, kGroup); }

/// How the product reads A, which is M x L, and B.
enum class ProductKind {
  /// A in groups of 16 of its L columns; B's groups of a block side by side, so that a row is 16 * kGroups elements.
  kPlain,
  /// A's transpose, L x M, of which the block reads columns of one group; B in groups.
  kTransposed,
};

/// Operands of one product: E is float or Bf16Pair. Distances are in elements.
template <typename E>
struct ProductOperands {
  const E* a;
  std::int64_t a_group;  // from one group of A to the next; kPlain
  const E* b;
  std::int64_t b_group;  // from one group of B to the next; kTransposed
  float* c;
  std::int64_t c_group;
  std::int64_t depth;  // L; a multiple of 16 for kPlain
  bool overwrite;      // C = A B in place of C += A B
};

/// A block of kRows rows and kGroups groups of columns.
template <int kWidth, ProductKind kKind, typename E, int kGroups, int kRows>
struct RegisterBlock {
  static constexpr int kVectors = kGroups * kGroup / kWidth;
  static constexpr int kInGroup = kGroup / kWidth;  // vectors per group

  static void multiply(const ProductOperands<E> o) {
    Simd<kWidth> sums[kRows][kVectors];
#pragma GCC unroll 28
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) sums[row][j] = Simd<kWidth>{};
    if constexpr (kKind == ProductKind::kPlain) {
      const E* b = o.b;
      for (std::int64_t group = 0; group < o.depth / kGroup; ++group) {
        const E* a = o.a + group * o.a_group;
        for (int l = 0; l < kGroup; ++l, ++a, b += kGroups * kGroup) step<kGroup>(a, b, kGroup, sums);
      }
    } else {
      const E *a = o.a, *b = o.b;
      for (std::int64_t l = 0; l < o.depth; ++l, a += kGroup, b += kGroup) step<1>(a, b, o.b_group, sums);
    }
    finish(o, sums);
  }

 private:
  /// sums[row][j] += a[row * kRowStride] * (vector j of b).
  template <int kRowStride>
  [[gnu::always_inline]] static inline void step(const E* a, const E* b, std::int64_t b_group,
                                                 Simd<kWidth> (&sums)[kRows][kVectors]) {
    decltype(load<kWidth>(b)) columns[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) columns[j] = load<kWidth>(b + j / kInGroup * b_group + j % kInGroup * kWidth);
#pragma GCC unroll 28
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) add_product<kWidth>(sums[row][j], a[row * kRowStride], columns[j]);
  }

  [[gnu::always_inline]] static inline void finish(const ProductOperands<E> o, Simd<kWidth> (&sums)[kRows][kVectors]) {
#pragma GCC unroll 28
    for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) {
        float* const c = o.c + j / kInGroup * o.c_group + row * kGroup + j % kInGroup * kWidth;
        if (!o.overwrite) sums[row][j] += load<kWidth>(c);
        store<kWidth>(c, sums[row][j]);
      }
  }
};

/// Rows of the largest block with `groups` groups of columns.
template <int kWidth, ProductKind kKind>
constexpr int block_rows(int groups) {
  // A group of a transposed A has 16 rows: blocks whose rows divide them, or 6 (see multiply_rows).
  constexpr bool kPlain = kKind == ProductKind::kPlain;
  if (kWidth == 16) return groups == 4 ? 6 : groups == 2 ? (kPlain ? 14 : 8) : (kPlain ? 28 : 16);
#if defined(__x86_64__) && !defined(__AVX__)
  if (kWidth == 4) return 2;  // four vectors to a group, and 16 registers
#endif
  return 6;
}

/// Groups of the widest block that `groups` groups fill.
template <int kWidth>
constexpr int block_groups(std::int64_t groups) {
  return kWidth < 16 ? 1 : groups >= 4 ? 4 : groups >= 2 ? 2 : 1;
}

template <int kWidth, ProductKind kKind, int kGroups, int kRows, typename E>
inline void multiply_rows(std::int64_t rows, ProductOperands<E> operands) {
  if constexpr (kKind == ProductKind::kTransposed && kRows == 6) {
    // 16 rows as 6 + 5 + 5, because four rows have too few sums in registers to be fast.
    if (rows == kGroup) {
      multiply_rows<kWidth, kKind, kGroups, 6>(6, operands);
      operands.a += 6;
      operands.c += 6 * kGroup;
      return multiply_rows<kWidth, kKind, kGroups, 5>(10, operands);
    }
  }
  for (; rows >= kRows; rows -= kRows) {
    RegisterBlock<kWidth, kKind, E, kGroups, kRows>::multiply(operands);
    operands.a += kRows * (kKind == ProductKind::kPlain ? kGroup : 1);
    operands.c += kRows * kGroup;
  }
  if constexpr (kRows > 1) {
    constexpr int kFewer = kRows > 16 ? 16 : kRows > 8 ? 8 : kRows > 4 ? 4 : kRows > 2 ? 2 : 1;
    if (rows > 0) multiply_rows<kWidth, kKind, kGroups, kFewer>(rows, operands);
  }
}

/// The product for `rows` rows of C (any number for kPlain, up to 16 for kTransposed) and `groups` groups of columns,
/// which is what block_groups gave.
template <int kWidth, ProductKind kKind, typename E = float>
inline void multiply(std::int64_t rows, int groups, const ProductOperands<E>& operands) {
  if constexpr (kWidth == 16) {
    if (groups == 4) return multiply_rows<kWidth, kKind, 4, block_rows<kWidth, kKind>(4)>(rows, operands);
    if (groups == 2) return multiply_rows<kWidth, kKind, 2, block_rows<kWidth, kKind>(2)>(rows, operands);
  }
  multiply_rows<kWidth, kKind, 1, block_rows<kWidth, kKind>(1)>(rows, operands);
}

}  // namespace gradamp::GRADAMP_SIMD
