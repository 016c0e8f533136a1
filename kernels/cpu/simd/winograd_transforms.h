// SPDX-License-Identifier: MIT
// Winograd's F(2x2, 3x3): the transforms of a tile. Each instruction processes a vector of channels.
//
// A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", 2016; S. Winograd, "Arithmetic complexity of
// computations", 1980.
//
// First in one dimension. Two neighboring outputs of a filter with three taps read four inputs:
//
//     y0 = d0 g0 + d1 g1 + d2 g2          six products, which these four can replace:
//     y1 = d1 g0 + d2 g1 + d3 g2
//
//     m0 = (d0 - d2) g0                   m1 = (d1 + d2) (g0 + g1 + g2) / 2         y0 = m0 + m1 + m2
//     m3 = (d1 - d3) g2                   m2 = (d2 - d1) (g0 - g1 + g2) / 2         y1 = m1 - m2 - m3
//
// As matrices, with . for the elementwise product: y = A^T [(G g) . (B^T d)], where
//
//           | 1  0 -1  0 |        | 1    0   0  |
//     B^T = | 0  1  1  0 |    G = | 1/2 1/2 1/2 |    A^T = | 1  1  1  0 |
//           | 0 -1  1  0 |        | 1/2 -1/2 1/2|          | 0  1 -1 -1 |
//           | 0  1  0 -1 |        | 0    0   1  |
//
// In two dimensions the transforms are applied to columns and then to rows: y = A^T [(G g G^T) . (B^T d B)] A. A tile
// of 2x2 outputs reads 4x4 inputs. Its transform has 16 elements, called positions here. It needs 16 products, while a
// direct convolution needs 36:
//
//     padding |0 0 0 0 0         a tile's 4x4 inputs          16 positions          its 2x2 outputs
//             |0 . . . . .          o o o o                     # # # #
//      image  |0 . . . . .          o o o o     B^T d B         # # # #    A^T m A      y y
//             |0 . . . . .          o o o o    -------->        # # # #   -------->     y y
//                                   o o o o                     # # # #
//             neighbors overlap     (every second pixel)       m = u . v               (side by side)
//             by two pixels
//
// With many channels, the product of a position becomes a sum over the input channels. So there are 16 independent
// matrix products: m (tiles, K) = v (tiles, C) u (C, K). The cost of the transforms is linear in the number of
// channels.
//
// The gradients use the same matrices. The input's gradient is a convolution of grad_y with the filter rotated by 180
// degrees. The filter's gradient is the adjoint, summed over all tiles: dg = G^T [sum (A dy A^T) . (B^T d B)] G.
//
// Rounding errors. Let u = 2^-24. Every output is computed with at most 2 additions per element for B^T d B, 4 for
// G g G^T, 4 for A^T m A, and a sum of n products. Multiplications by 1/2 are exact. So (N. J. Higham, "Accuracy and
// stability of numerical algorithms", 2002, section 3.1), to first order in u and for each element,
//
//     |error of y| <= (n + 10) u |A^T| [sum over c of (|G| |g| |G^T|) . (|B^T| |d| |B|)] |A|,
//
// where n is the number of additions in the longest chain: up to 128 within a register, then one per partial sum.
//
// For independent normal inputs the root mean square of the error can also be predicted. A rounding has a relative
// error of u / sqrt(6) in the root mean square. The partial sums of a chain of n additions grow like the square root of
// their length, so the relative error of the chain is u / sqrt(6) sqrt(n / 2). The transforms add 10 roundings. The 16
// sums are larger than y, and this amplifies their errors relative to y. Let r = 1, 3/4, 3/4, 1 be the squared norms of
// G's rows; the squared norm of the rows of B's products is 4. Then the factor is
// sqrt(sum over 9 positions of 4 r_i r_j / 9) = 5/3. Together
//
//     |error| / |y| = 5/3 u / sqrt(6) sqrt(n / 2 + 10)          (root mean squares; 2.6e-7 for 64 channels)
//
// and the same holds for the gradients. The chain of a direct convolution has 9 n additions, so its error has the
// factor sqrt(9 n / 2) instead of 5/3 sqrt(n / 2 + 10). With 16 channels or more, F(2x2) is therefore at least as
// accurate. (F(4x4) is less accurate, by a factor of about 8.)
#pragma once

#include "gradamp/kernels/cpu/simd/simd.h"

namespace gradamp::GRADAMP_SIMD {

/// Number of positions per tile.
inline constexpr int kPositions = 16;

/// B^T d for 4 inputs.
struct InputTransform {
  static constexpr int kPixels = 4;
  template <typename Vector>
  [[gnu::always_inline]] static inline void apply(const Vector (&d)[4], Vector (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
  }
};

/// A y for the gradients of 2 outputs.
struct GradOutputTransform {
  static constexpr int kPixels = 2;
  template <typename Vector>
  [[gnu::always_inline]] static inline void apply(const Vector (&y)[2], Vector (&z)[4]) {
    z[0] = y[0];
    z[1] = y[0] + y[1];
    z[2] = y[0] - y[1];
    z[3] = -y[1];
  }
};

/// G g for 3 taps.
struct FilterTransform {
  static constexpr int kPixels = 3;
  template <typename Vector>
  [[gnu::always_inline]] static inline void apply(const Vector (&g)[3], Vector (&u)[4]) {
    const Vector outer = 0.5f * (g[0] + g[2]), middle = 0.5f * g[1];
    u[0] = g[0];
    u[1] = outer + middle;
    u[2] = outer - middle;
    u[3] = g[2];
  }
};

/// A^T m, which gives 2 outputs.
struct OutputTransform {
  static constexpr int kPixels = 2;
  template <typename Vector>
  [[gnu::always_inline]] static inline void apply(const Vector (&m)[4], Vector (&y)[2]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }
};

/// G^T u, which gives the gradients of 3 taps.
struct GradFilterTransform {
  static constexpr int kPixels = 3;
  template <typename Vector>
  [[gnu::always_inline]] static inline void apply(const Vector (&u)[4], Vector (&g)[3]) {
    const Vector sum = 0.5f * (u[1] + u[2]);
    g[0] = u[0] + sum;
    g[1] = 0.5f * (u[1] - u[2]);
    g[2] = sum + u[3];
  }
};

/// Transforms the pixels of a tile to its 16 positions, for kWidth channels. `pixel(r, s)` is the vector of a pixel's
/// channels. Positions are `position_stride` floats apart.
template <int kWidth, typename Transform, typename Pixel>
[[gnu::always_inline]] inline void to_positions(const Pixel& pixel, float* positions, std::int64_t position_stride) {
  const std::int64_t row_stride = 4 * position_stride;
  constexpr int kPixels = Transform::kPixels;
  Simd<kWidth> columns[4][kPixels];
#pragma GCC unroll 4
  for (int s = 0; s < kPixels; ++s) {
    Simd<kWidth> column[kPixels], transformed[4];
#pragma GCC unroll 4
    for (int r = 0; r < kPixels; ++r) column[r] = pixel(r, s);
    Transform::apply(column, transformed);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) columns[i][s] = transformed[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    Simd<kWidth> row[4];
    Transform::apply(columns[i], row);
    store<kWidth>(positions, row[0]);
    store<kWidth>(positions + position_stride, row[1]);
    store<kWidth>(positions + 2 * position_stride, row[2]);
    store<kWidth>(positions + 3 * position_stride, row[3]);
    positions += row_stride;
  }
}

/// Transforms 16 positions to the pixels of a tile, for kWidth channels. `position(p)` returns a position's vector, and
/// `put(r, s, vector)` stores a pixel's.
template <int kWidth, typename Transform, typename Position, typename Put>
[[gnu::always_inline]] inline void from_positions(const Position& position, const Put& put) {
  constexpr int kPixels = Transform::kPixels;
  Simd<kWidth> columns[kPixels][4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const Simd<kWidth> column[4] = {position(j), position(4 + j), position(8 + j), position(12 + j)};
    Simd<kWidth> transformed[kPixels];
    Transform::apply(column, transformed);
#pragma GCC unroll 4
    for (int r = 0; r < kPixels; ++r) columns[r][j] = transformed[r];
  }
#pragma GCC unroll 4
  for (int r = 0; r < kPixels; ++r) {
    Simd<kWidth> row[kPixels];
    Transform::apply(columns[r], row);
#pragma GCC unroll 4
    for (int s = 0; s < kPixels; ++s) put(r, s, row[s]);
  }
}

}  // namespace gradamp::GRADAMP_SIMD
