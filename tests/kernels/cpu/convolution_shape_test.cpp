// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/convolution_shape.h"

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

constexpr ConvolutionPass kPasses[] = {ConvolutionPass::kForward, ConvolutionPass::kBackwardInput,
                                       ConvolutionPass::kBackwardFilter};

/// A convolution of square images.
ConvolutionShape square(std::int64_t batch, std::int64_t size, std::int64_t in_channels, std::int64_t out_channels,
                        std::int64_t kernel = 3, std::int64_t stride = 1, std::int64_t padding = 1) {
  const std::int64_t out = (size + 2 * padding - kernel) / stride + 1;
  return {batch, size, size, in_channels, out, out, out_channels, kernel, kernel, stride, padding};
}

bool all_passes(ConvolutionMethod method, const ConvolutionShape& shape) {
  return std::all_of(std::begin(kPasses), std::end(kPasses),
                     [&](ConvolutionPass pass) { return uses_winograd(method, pass, shape); });
}

bool any_pass(ConvolutionMethod method, const ConvolutionShape& shape) {
  return std::any_of(std::begin(kPasses), std::end(kPasses),
                     [&](ConvolutionPass pass) { return uses_winograd(method, pass, shape); });
}

TEST(ConvolutionRule, NetworksConvolutionsOfStrideOneAreWinograds) {
  for (const ConvolutionShape& shape :
       {square(128, 32, 16, 16), square(128, 16, 32, 32), square(128, 8, 64, 64), square(128, 32, 64, 64),
        square(128, 4, 512, 512), square(128, 2, 512, 512), square(1, 16, 48, 96), square(8, 4, 16, 16)})
    EXPECT_TRUE(all_passes(ConvolutionMethod::kAuto, shape)) << shape.height << " pixels " << shape.in_channels;
}

TEST(ConvolutionRule, TheRestIsDirect) {
  for (const ConvolutionShape& shape :
       {square(128, 32, 3, 64),                                                      // three channels
        square(128, 32, 24, 32), square(128, 32, 32, 40), square(128, 1, 512, 512),  // one pixel
        square(7, 4, 64, 64)})                                                       // 28 tiles
    EXPECT_FALSE(any_pass(ConvolutionMethod::kAuto, shape)) << shape.height << " pixels " << shape.in_channels;
  for (const ConvolutionMethod method : {ConvolutionMethod::kAuto, ConvolutionMethod::kWinograd}) {
    EXPECT_FALSE(any_pass(method, square(128, 32, 64, 64, 3, 2)));     // stride 2
    EXPECT_FALSE(any_pass(method, square(128, 32, 64, 64, 1, 1, 0)));  // 1x1
    EXPECT_FALSE(any_pass(method, square(128, 32, 64, 64, 5, 1, 2)));  // 5x5
    EXPECT_FALSE(any_pass(method, square(128, 32, 64, 64, 3, 1, 3)));  // padding 3
  }
}

TEST(ConvolutionRule, EachPassCountsItsOwnTiles) {
  const ConvolutionShape shape = square(32, 3, 64, 64, 3, 1, 0);  // 3x3 pixels to one
  EXPECT_FALSE(uses_winograd(ConvolutionMethod::kAuto, ConvolutionPass::kForward, shape));
  EXPECT_TRUE(uses_winograd(ConvolutionMethod::kAuto, ConvolutionPass::kBackwardInput, shape));
  EXPECT_FALSE(uses_winograd(ConvolutionMethod::kAuto, ConvolutionPass::kBackwardFilter, shape));
}

TEST(ConvolutionRule, AMethodCanBeForced) {
  EXPECT_TRUE(all_passes(ConvolutionMethod::kWinograd, square(1, 1, 3, 5)));
  EXPECT_FALSE(any_pass(ConvolutionMethod::kDirect, square(128, 32, 64, 64)));
}

/// The bits of the results of all passes with one method.
std::vector<std::vector<std::uint32_t>> bits_with(ConvolutionMethod method) {
  BackendOptions options;
  options.threads = 2;
  options.convolution = method;
  const auto backend = make_backend(Device{DeviceKind::kCpu}, options);
  const Shape image{2, 8, 8, 64}, filter{64, 3, 3, 64};
  const Variable x = parameter_of(*backend, image, normal_values(image.count(), 1));
  const Variable weight = parameter_of(*backend, filter, normal_values(filter.count(), 2));
  const Variable y = conv2d(x, weight, {}, {1, 1});
  y.backward(normal_tensor(*backend, y.shape(), 3));
  return {bits_of(y.value()), bits_of(x.grad()), bits_of(weight.grad())};
}

TEST(ConvolutionMethod, IsTheBackendsInEveryPass) {
  const auto by_winograd = bits_with(ConvolutionMethod::kWinograd), directly = bits_with(ConvolutionMethod::kDirect);
  for (std::size_t pass = 0; pass < by_winograd.size(); ++pass)
    EXPECT_NE(by_winograd[pass], directly[pass]) << "pass " << pass << " was computed by the same kernels";
  EXPECT_EQ(bits_with(ConvolutionMethod::kAuto), by_winograd);
}

TEST(ConvolutionMethod, AnotherThanTheRuleIsInTheDescription) {
  const auto description = [](ConvolutionMethod method) {
    BackendOptions options;
    options.convolution = method;
    return make_backend(Device{DeviceKind::kCpu}, options)->description();
  };
  const std::string usual = description(ConvolutionMethod::kAuto);
  EXPECT_EQ(description(ConvolutionMethod::kDirect), usual + ", direct convolutions only");
  EXPECT_EQ(description(ConvolutionMethod::kWinograd), usual + ", Winograd convolutions wherever possible");
}

}  // namespace
}  // namespace gradamp::test
