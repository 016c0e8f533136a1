// SPDX-License-Identifier: MIT
// Compares direct convolutions with plain loops in float64. The tolerances are the error bounds in
// kernels/cpu/simd/direct.h.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/cpu/direct_products.h"
#include "gradamp/tests/kernels/cpu/convolution_cases.h"
#include "gradamp/tests/kernels/reference.h"

GRADAMP_DECLARE_CONVOLUTIONS(simd_width_4, direct)
GRADAMP_DECLARE_CONVOLUTIONS(simd_width_8, direct)
GRADAMP_DECLARE_CONVOLUTIONS(simd_width_16, direct)
GRADAMP_DECLARE_CONVOLUTIONS(simd_pairs, direct)

namespace gradamp::test {
namespace {

using reference::Array;
using ::testing::ElementsAre;

const MethodKernels kWidths[] = {GRADAMP_METHOD_KERNELS(simd_width_4, direct),
                                 GRADAMP_METHOD_KERNELS(simd_width_8, direct),
                                 GRADAMP_METHOD_KERNELS(simd_width_16, direct)};

/// Products of pairs of bf16, beside those of floats.
const MethodKernels kPairs = {GRADAMP_CONVOLUTIONS(simd_width_16, direct, float),
                              GRADAMP_CONVOLUTIONS(simd_pairs, direct, Bf16)};

std::vector<ConvolutionCase> cases() {
  return {
      // {batch, height, width, in_channels, out_channels, padding, kernel_h, kernel_w, stride}
      // The networks' kinds: the first layer, stride 2, 1x1 with stride 2 and 1, and linear layers.
      {2, 8, 8, 3, 64, 1},
      {3, 7, 5, 3, 16, 1},
      {2, 8, 8, 64, 128, 1, 3, 3, 2},
      {3, 7, 9, 16, 32, 1, 3, 3, 2},
      {2, 8, 6, 64, 128, 0, 1, 1, 2},
      {1, 5, 7, 32, 48, 0, 1, 1, 2},
      {2, 4, 4, 256, 64, 0, 1, 1, 1},
      {7, 1, 1, 512, 10, 0, 1, 1, 1},
      {300, 1, 1, 65, 70, 0, 1, 1, 1},
      {1, 1, 1, 1, 1, 0, 1, 1, 1},
      // Filters of other sizes, even ones, not square ones, and one that is as large as the padded image.
      {2, 9, 8, 5, 7, 3, 7, 7, 2},
      {1, 6, 6, 16, 16, 2, 5, 5, 1},
      {2, 5, 6, 17, 9, 1, 2, 4, 1},
      {1, 6, 5, 16, 8, 0, 1, 3, 1},
      {1, 5, 6, 33, 24, 1, 4, 2, 2},
      {1, 4, 3, 16, 16, 1, 6, 5, 1},
      // Strides of 3 and 4: some pixels of the input have no tap, and some no output.
      {2, 10, 11, 16, 16, 1, 3, 3, 3},
      {1, 9, 10, 20, 12, 0, 2, 2, 4},
      {1, 8, 8, 3, 4, 2, 5, 5, 3},
      {1, 2, 3, 16, 16, 1, 3, 3, 4},
      // Dilation, and dilation with a stride: runs of one tap, and pixels without taps.
      {2, 9, 8, 5, 7, 2, 3, 3, 1, 2},
      {1, 9, 10, 16, 32, 3, 3, 3, 2, 3},
      {1, 8, 7, 33, 16, 1, 2, 3, 1, 2},
      // Groups of whole and of other numbers of channels, and depthwise ones.
      {2, 5, 7, 6, 9, 1, 3, 3, 1, 1, 3},
      {1, 8, 6, 64, 32, 1, 3, 3, 2, 1, 2},
      {2, 6, 5, 7, 7, 1, 3, 3, 1, 1, 7},
      {1, 9, 9, 20, 40, 2, 3, 3, 2, 2, 4},
      // Winograd's shapes.
      {2, 6, 4, 48, 80, 1},
      {1, 5, 5, 1, 1, 2},
      {1, 3, 3, 30, 31, 0},
      // Sums longer than one sum in registers, with channels that do and do not fill their groups.
      {1, 3, 4, 300, 20, 1},
      {2, 3, 3, 144, 40, 1, 3, 3, 2},
      // Several blocks of pixels, ranges of columns, and partial sums of the filter's gradient.
      {20, 12, 12, 16, 16, 1, 3, 3, 1},
      {9, 13, 12, 3, 5, 1},
      {2, 2, 2, 64, 560, 0, 1, 1, 1},
      {6, 8, 8, 96, 144, 1, 3, 3, 2},
  };
}

Array absolute(Array values) {
  for (double& value : values.values) value = std::abs(value);
  return values;
}

Array times(Array values, double factor) {
  for (double& value : values.values) value *= factor;
  return values;
}

class Direct : public ::testing::TestWithParam<ConvolutionCase> {};

// The bounds: (additions of the chain + 1) u times the same sums over absolute values.
TEST_P(Direct, IsWithinTheBoundsOfItsError) {
  const ConvolutionCase c = GetParam();
  const ConvolutionInputs inputs(c);
  const Array x(c.x(), to_double(inputs.x)), weight(c.weight(), to_double(inputs.weight));
  const Array grad_y(c.y(), to_double(inputs.grad_y)), bias(Shape{c.out_channels}, to_double(inputs.bias));
  const std::int64_t taps = c.kernel_h * c.kernel_w, pixels = c.y().count() / c.out_channels;
  const Array y = reference::conv2d({x, weight, bias}, c.params());
  Array y_bound = times(reference::conv2d({absolute(x), absolute(weight)}, c.params()),
                        (chain(taps * c.in_channels / c.groups) + 1) * kRoundoff);
  for (std::int64_t i = 0; i < y.shape.count(); ++i) y_bound.at(i) += kRoundoff * std::abs(y.at(i));  // + bias
  const reference::Arrays grads = reference::conv2d_backward({x, weight}, grad_y, c.params());
  const reference::Arrays bounds =
      reference::conv2d_backward({absolute(x), absolute(weight)}, absolute(grad_y), c.params());
  const Array x_bound = times(bounds[0], (chain(taps * c.out_channels / c.groups) + 1) * kRoundoff);
  const Array weight_bound = times(bounds[1], (chain(pixels) + 16 + 1) * kRoundoff);
  for (const MethodKernels& kernels : usable_kernels(Method::kDirect)) {
    const ConvolutionResults results = run_convolution(kernels.f32, c, inputs, 2);
    EXPECT_TRUE(within(results.y, y, y_bound)) << "y";
    EXPECT_TRUE(within(results.grad_x, grads[0], x_bound)) << "gradient of x";
    EXPECT_TRUE(within(results.grad_weight, grads[1], weight_bound)) << "gradient of the filter";
  }
}

TEST_P(Direct, HasTheSameBitsOnAnyNumberOfThreads) {
  expect_same_bits_on_any_number_of_threads(Method::kDirect, GetParam());
}

TEST_P(Direct, HasTheSameBitsWithVectorsOfAnyWidth) {
  expect_same_bits_with_vectors_of_any_width(Method::kDirect, GetParam(), kWidths);
}

TEST_P(Direct, HasTheSameBitsWithEveryFusedInstructionSet) {
  expect_same_bits_with_every_fused_instruction_set(Method::kDirect, GetParam());
}

TEST_P(Direct, NoBiasIsABiasOfZeros) { expect_no_bias_is_a_bias_of_zeros(Method::kDirect, GetParam()); }

TEST_P(Direct, MomentsAreThoseOfY) { expect_moments_are_those_of_y(Method::kDirect, GetParam()); }

TEST_P(Direct, InBf16IsF32Rounded) {
  std::vector<MethodKernels> all(std::begin(kWidths), std::end(kWidths));
  all.push_back(kPairs);
  expect_bf16_is_f32_rounded(Method::kDirect, GetParam(), all);
}

INSTANTIATE_TEST_SUITE_P(Cases, Direct, ::testing::ValuesIn(cases()));

class DirectOfNormalized : public ::testing::TestWithParam<ConvolutionCase> {};

TEST_P(DirectOfNormalized, IsThatOfTheStoredInput) {
  expect_normalized_inputs_are_the_stored_ones(Method::kDirect, GetParam());
}

TEST_P(DirectOfNormalized, InPairsOfBf16IsThatOfTheStoredInput) {
  ConvolutionInputs rounded(GetParam());
  rounded.round();
  const SimdKernels& least = simd_kernels(usable_instruction_sets().front());
  expect_normalized_input_is_the_stored_one(kPairs.bf16, least.bf16.batch_norm, GetParam(), rounded);
}

INSTANTIATE_TEST_SUITE_P(Cases, DirectOfNormalized, ::testing::ValuesIn(cases_of_normalized_inputs(cases())));

std::vector<std::int64_t> indices_of(const std::vector<Tap>& taps) {
  std::vector<std::int64_t> indices;
  for (const Tap& tap : taps) indices.push_back(tap.index);
  return indices;
}

// The example in kernels/cpu/direct_products.h, in two dimensions.
TEST(DirectProducts, OfStrideTwoHaveEveryTapOnce) {
  const ConvolutionCase c{1, 4, 4, 1, 1, 1, 3, 3, 2};
  const DirectProducts all = backward_input_products(c.shape());
  const std::vector<DirectProduct>& products = all.list;
  ASSERT_EQ(products.size(), 4u);
  EXPECT_THAT(indices_of(products[0].taps), ElementsAre(4));
  EXPECT_THAT(indices_of(products[1].taps), ElementsAre(5, 3));
  EXPECT_THAT(indices_of(products[2].taps), ElementsAre(7, 1));
  EXPECT_THAT(indices_of(products[3].taps), ElementsAre(8, 6, 2, 0));
  const Tap &near = products[1].taps[0], &far = products[1].taps[1];
  EXPECT_EQ(near.column, 0);  // grad_x[2 i + 1] = grad_y[i] w[2] + grad_y[i + 1] w[0]
  EXPECT_EQ(far.column, 1);
  EXPECT_EQ(near.run, 2);  // which are adjacent
}

TEST(DirectProducts, OfASmallImageLeaveNothingOut) {
  const ConvolutionCase c{1, 2, 3, 1, 1, 1, 3, 3, 4};  // fewer pixels than the stride
  std::int64_t pixels = 0;
  const DirectProducts products = backward_input_products(c.shape());
  for (const DirectProduct& product : products.list) pixels += product.rows * product.columns;
  EXPECT_EQ(pixels, 6);
}

}  // namespace
}  // namespace gradamp::test
