// SPDX-License-Identifier: MIT
// Compares Winograd's convolutions with plain loops in float64. The tolerances are error bounds that follow from the
// algorithm.
#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "gradamp/tests/kernels/cpu/convolution_cases.h"
#include "gradamp/tests/kernels/reference.h"

GRADAMP_DECLARE_CONVOLUTIONS(simd_width_4, winograd)
GRADAMP_DECLARE_CONVOLUTIONS(simd_width_8, winograd)
GRADAMP_DECLARE_CONVOLUTIONS(simd_width_16, winograd)

namespace gradamp::test {
namespace {

using reference::Array;

const MethodKernels kWidths[] = {GRADAMP_METHOD_KERNELS(simd_width_4, winograd),
                                 GRADAMP_METHOD_KERNELS(simd_width_8, winograd),
                                 GRADAMP_METHOD_KERNELS(simd_width_16, winograd)};

std::vector<ConvolutionCase> cases() {
  return {
      // Whole groups of channels: blocks of 16, 32 and 64 columns and their combinations. The image sizes are even,
      // odd, one, and not square.
      {1, 1, 1, 16, 16, 1},
      {2, 2, 2, 16, 32, 1},
      {3, 5, 7, 16, 48, 1},
      {2, 6, 4, 64, 16, 1},
      {1, 9, 3, 32, 64, 1},
      {2, 4, 6, 80, 112, 1},
      {1, 3, 5, 128, 144, 1},
      // Every padding p. The convolution of the input's gradient has padding 2 - p.
      {2, 3, 3, 16, 16, 0},
      {2, 6, 9, 32, 16, 0},
      {1, 1, 1, 16, 16, 2},
      {2, 4, 5, 16, 32, 2},
      // Numbers of channels that do not fill their last group.
      {2, 5, 4, 17, 24, 1},
      {1, 6, 7, 40, 33, 1},
      {2, 4, 3, 3, 5, 1},
      {1, 5, 5, 1, 1, 2},
      {1, 4, 4, 31, 63, 0},
      // Sums that are longer than one sum in registers, filters that are divided by output groups, and wide filters.
      {1, 4, 4, 256, 272, 1},
      {2, 2, 3, 512, 512, 1},
      {1, 3, 2, 160, 136, 1},
      // Several blocks of tiles: narrow filters with fewer or more blocks than partial sums, and wide filters.
      {3, 16, 16, 16, 16, 1},
      {17, 15, 16, 16, 16, 1},
      {4, 16, 18, 96, 96, 1},
      {3, 14, 15, 144, 128, 1},
  };
}

/// A 4x4 or smaller matrix.
using Matrix = std::vector<std::vector<double>>;

// The absolute values of the matrices in kernels/cpu/simd/winograd_transforms.h, independent of that file's code.
const Matrix kInput = {{1, 0, 1, 0}, {0, 1, 1, 0}, {0, 1, 1, 0}, {0, 1, 0, 1}};   // |B^T|
const Matrix kFilter = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, {0, 0, 1}};  // |G|
const Matrix kOutput = {{1, 1, 1, 0}, {0, 1, 1, 1}};                              // |A^T|

Matrix transposed(const Matrix& m) {
  Matrix result(m[0].size(), std::vector<double>(m.size()));
  for (std::size_t i = 0; i < m.size(); ++i)
    for (std::size_t j = 0; j < m[0].size(); ++j) result[j][i] = m[i][j];
  return result;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result(a.size(), std::vector<double>(b[0].size(), 0.0));
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < b[0].size(); ++j)
      for (std::size_t l = 0; l < b.size(); ++l) result[i][j] += a[i][l] * b[l][j];
  return result;
}

/// m d m^T.
Matrix transform(const Matrix& m, const Matrix& d) { return product(product(m, d), transposed(m)); }

/// The absolute values of a square of pixels in one channel. Pixels outside the image are 0.
Matrix square(const Array& image, std::int64_t n, std::int64_t top, std::int64_t left, std::int64_t channel,
              std::int64_t size) {
  Matrix result(static_cast<std::size_t>(size), std::vector<double>(static_cast<std::size_t>(size), 0.0));
  for (std::int64_t r = 0; r < size; ++r)
    for (std::int64_t s = 0; s < size; ++s)
      if (top + r >= 0 && top + r < image.shape[1] && left + s >= 0 && left + s < image.shape[2])
        result[static_cast<std::size_t>(r)][static_cast<std::size_t>(s)] =
            std::abs(image.at(n, top + r, left + s, channel));
  return result;
}

/// A 4x4 matrix, row by row.
using Positions = std::array<double, 16>;

Positions positions_of(const Matrix& m) {
  Positions result;
  for (std::size_t i = 0; i < 16; ++i) result[i] = m[i / 4][i % 4];
  return result;
}

Matrix matrix_of(const Positions& p) {
  Matrix result(4, std::vector<double>(4));
  for (std::size_t i = 0; i < 16; ++i) result[i / 4][i % 4] = p[i];
  return result;
}

void add_products(const Positions& a, const Positions& b, Positions& sum) {
  for (std::size_t i = 0; i < 16; ++i) sum[i] += a[i] * b[i];
}

/// The positions of every tile and channel, computed from absolute values: result[tile][channel].
std::vector<std::vector<Positions>> tile_positions(const Array& image, std::int64_t rows, std::int64_t columns,
                                                   std::int64_t padding, std::int64_t size, const Matrix& m) {
  std::vector<std::vector<Positions>> tiles;
  for (std::int64_t n = 0; n < image.shape[0]; ++n)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) {
        tiles.emplace_back();
        for (std::int64_t c = 0; c < image.shape[3]; ++c)
          tiles.back().push_back(
              positions_of(transform(m, square(image, n, 2 * i - padding, 2 * j - padding, c, size))));
      }
  return tiles;
}

/// The error bound in kernels/cpu/simd/winograd_transforms.h for each element of the output:
/// (n + 10) u |A^T| [sum over inputs of (|G| |g| |G^T|) . (|B^T| |d| |B|)] |A|. `filter` is (outputs, 3, 3, inputs).
Array output_bound(const Array& in, const Array& filter, const Shape& out, std::int64_t padding) {
  const std::int64_t rows = (out[1] + 1) / 2, columns = (out[2] + 1) / 2;
  const auto v = tile_positions(in, rows, columns, padding, 4, kInput);
  Array bound(out);
  for (std::int64_t k = 0; k < out[3]; ++k) {
    std::vector<Positions> u;
    for (std::int64_t c = 0; c < in.shape[3]; ++c)
      u.push_back(positions_of(transform(kFilter, square(filter, k, 0, 0, c, 3))));
    for (std::size_t tile = 0; tile < v.size(); ++tile) {
      Positions sum{};
      for (std::size_t c = 0; c < u.size(); ++c) add_products(u[c], v[tile][c], sum);
      const Matrix y = transform(kOutput, matrix_of(sum));
      const auto t = static_cast<std::int64_t>(tile);
      for (std::int64_t r = 0; r < 2; ++r)
        for (std::int64_t s = 0; s < 2; ++s) {
          const std::int64_t p = t / columns % rows * 2 + r, q = t % columns * 2 + s;
          if (p < out[1] && q < out[2])
            bound.at(t / (rows * columns), p, q, k) =
                (chain(in.shape[3]) + 10) * kRoundoff * y[static_cast<std::size_t>(r)][static_cast<std::size_t>(s)];
        }
    }
  }
  return bound;
}

/// The error bound for the filter's gradient, with |G^T| [sum over tiles of (|A| |dy| |A^T|) . (|B^T| |d| |B|)] |G|.
/// Its chain has 8 further additions, one per partial du.
Array filter_bound(const Array& x, const Array& grad_y, const Shape& weight, std::int64_t padding) {
  const std::int64_t rows = (grad_y.shape[1] + 1) / 2, columns = (grad_y.shape[2] + 1) / 2;
  const auto v = tile_positions(x, rows, columns, padding, 4, kInput);
  const auto z = tile_positions(grad_y, rows, columns, 0, 2, transposed(kOutput));
  const double factor = (chain(static_cast<std::int64_t>(v.size())) + 8 + 10) * kRoundoff;
  Array bound(weight);
  for (std::int64_t k = 0; k < weight[0]; ++k)
    for (std::int64_t c = 0; c < weight[3]; ++c) {
      Positions sum{};
      for (std::size_t tile = 0; tile < v.size(); ++tile)
        add_products(v[tile][static_cast<std::size_t>(c)], z[tile][static_cast<std::size_t>(k)], sum);
      const Matrix g = transform(transposed(kFilter), matrix_of(sum));
      for (std::int64_t r = 0; r < 3; ++r)
        for (std::int64_t s = 0; s < 3; ++s)
          bound.at(k, r, s, c) = factor * g[static_cast<std::size_t>(r)][static_cast<std::size_t>(s)];
    }
  return bound;
}

/// The filter of the backward of the input: rotated by 180 degrees, with shape (C, 3, 3, K).
Array turned(const Array& weight) {
  Array result(Shape{weight.shape[3], 3, 3, weight.shape[0]});
  for (std::int64_t k = 0; k < weight.shape[0]; ++k)
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t s = 0; s < 3; ++s)
        for (std::int64_t c = 0; c < weight.shape[3]; ++c) result.at(c, 2 - r, 2 - s, k) = weight.at(k, r, s, c);
  return result;
}

class Winograd : public ::testing::TestWithParam<ConvolutionCase> {};

TEST_P(Winograd, IsWithinTheBoundsOfItsError) {
  const ConvolutionCase c = GetParam();
  const ConvolutionInputs inputs(c);
  const Array x(c.x(), to_double(inputs.x)), weight(c.weight(), to_double(inputs.weight));
  const Array grad_y(c.y(), to_double(inputs.grad_y)), bias(Shape{c.out_channels}, to_double(inputs.bias));
  const Array y = reference::conv2d({x, weight, bias}, c.params());
  Array y_bound = output_bound(x, weight, c.y(), c.padding);
  for (std::int64_t i = 0; i < y.shape.count(); ++i) y_bound.at(i) += kRoundoff * std::abs(y.at(i));  // + bias
  const reference::Arrays grads = reference::conv2d_backward({x, weight}, grad_y, c.params());
  const Array x_bound = output_bound(grad_y, turned(weight), c.x(), 2 - c.padding);
  const Array weight_bound = filter_bound(x, grad_y, c.weight(), c.padding);
  for (const MethodKernels& kernels : usable_kernels(Method::kWinograd)) {
    const ConvolutionResults results = run_convolution(kernels.f32, c, inputs, 2);
    EXPECT_TRUE(within(results.y, y, y_bound)) << "y";
    EXPECT_TRUE(within(results.grad_x, grads[0], x_bound)) << "gradient of x";
    EXPECT_TRUE(within(results.grad_weight, grads[1], weight_bound)) << "gradient of the filter";
  }
}

TEST_P(Winograd, HasTheSameBitsOnAnyNumberOfThreads) {
  expect_same_bits_on_any_number_of_threads(Method::kWinograd, GetParam());
}

TEST_P(Winograd, HasTheSameBitsWithVectorsOfAnyWidth) {
  expect_same_bits_with_vectors_of_any_width(Method::kWinograd, GetParam(), kWidths);
}

TEST_P(Winograd, HasTheSameBitsWithEveryFusedInstructionSet) {
  expect_same_bits_with_every_fused_instruction_set(Method::kWinograd, GetParam());
}

TEST_P(Winograd, NoBiasIsABiasOfZeros) { expect_no_bias_is_a_bias_of_zeros(Method::kWinograd, GetParam()); }

TEST_P(Winograd, MomentsAreThoseOfY) { expect_moments_are_those_of_y(Method::kWinograd, GetParam()); }

TEST_P(Winograd, InBf16IsF32Rounded) { expect_bf16_is_f32_rounded(Method::kWinograd, GetParam(), kWidths); }

INSTANTIATE_TEST_SUITE_P(Cases, Winograd, ::testing::ValuesIn(cases()));

class WinogradOfNormalized : public ::testing::TestWithParam<ConvolutionCase> {};

TEST_P(WinogradOfNormalized, IsThatOfTheStoredInput) {
  expect_normalized_inputs_are_the_stored_ones(Method::kWinograd, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, WinogradOfNormalized, ::testing::ValuesIn(cases_of_normalized_inputs(cases())));

double relative_error(const std::vector<float>& actual, const Array& expected) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    error += std::pow(static_cast<double>(actual[i]) - expected.values[i], 2);
    norm += std::pow(expected.values[i], 2);
  }
  return std::sqrt(error / norm);
}

/// The root mean square of the relative error for independent normal inputs and a chain of `additions` additions
/// (kernels/cpu/simd/winograd_transforms.h).
double predicted_error(double additions) {
  return 5.0 / 3 * kRoundoff / std::sqrt(6.0) * std::sqrt(additions / 2 + 10);
}

TEST(WinogradError, IsAsPredicted) {
  for (const ConvolutionCase& c :
       {ConvolutionCase{9, 16, 16, 16, 16, 1}, {2, 16, 16, 128, 64, 1}, {17, 16, 16, 32, 64, 1}}) {
    SCOPED_TRACE(::testing::PrintToString(c));
    const ConvolutionInputs inputs(c);
    const ConvolutionResults results =
        run_convolution(usable_kernels(Method::kWinograd).back().f32, c, inputs, 2, false);
    const Array x(c.x(), to_double(inputs.x)), weight(c.weight(), to_double(inputs.weight));
    const reference::Arrays grads =
        reference::conv2d_backward({x, weight}, Array(c.y(), to_double(inputs.grad_y)), {1, 1});
    const double y = relative_error(results.y, reference::conv2d({x, weight}, {1, 1}));
    EXPECT_NEAR(y / predicted_error(static_cast<double>(c.in_channels)), 1, 0.15);
    const double grad_x = relative_error(results.grad_x, grads[0]);
    EXPECT_NEAR(grad_x / predicted_error(static_cast<double>(c.out_channels)), 1, 0.15);
    // The sum over hundreds of tiles is computed in levels. Their chains have up to 128 additions.
    EXPECT_LT(relative_error(results.grad_weight, grads[1]), 1.15 * predicted_error(128));
  }
}

}  // namespace
}  // namespace gradamp::test
