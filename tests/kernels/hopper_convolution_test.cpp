// SPDX-License-Identifier: MIT
// The convolutions by TMA and wgmma (kernels/cuda/convolution_hopper.h) beside those by the definition: operands are
// whole numbers, so every sum of products is exact, and both round the same number to bf16.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

struct Problem {
  Shape x;
  std::int64_t out_channels, kernel;
  Conv2dParams params;

  Shape filter() const { return {out_channels, kernel, kernel, x[3]}; }
  Shape y() const {
    const auto extent = [&](std::int64_t in) { return (in + 2 * params.padding - kernel) / params.stride + 1; };
    return {x[0], extent(x[1]), extent(x[2]), out_channels};
  }
};

const Problem kProblems[] = {
    {{2, 8, 8, 64}, 64, 3, {.padding = 1}},                 // one tile of 64 channels
    {{2, 16, 16, 128}, 128, 3, {.padding = 1}},             // tiles of 128 channels, several of pixels
    {{2, 8, 8, 128}, 192, 3, {.stride = 2, .padding = 1}},  // four residues, a partial tile of channels
    {{1, 9, 7, 72}, 40, 3, {.padding = 1}},                 // partial boxes of channels
    {{3, 5, 6, 64}, 136, 1, {}},                            // one tap
    {{2, 8, 8, 64}, 128, 1, {.stride = 2}},                 // residues without a tap
    {{2, 9, 11, 64}, 64, 3, {.stride = 3, .padding = 1}},   // nine residues: several launches
    {{1, 6, 6, 520}, 64, 3, {.padding = 1}},                // a deep product
    {{2, 7, 5, 64}, 72, 5, {.padding = 2}},                 // wide windows: corners 2 pixels outside
    {{1, 12, 13, 192}, 8, 3, {}},                           // no padding
    {{1, 13, 9, 64}, 64, 2, {.stride = 2, .padding = 1}},   // an even filter
    {{300, 2, 2, 64}, 64, 3, {.padding = 1}},               // many images in a tile
};

/// The devices that have these convolutions, each with them. A GPU is one if it takes them by itself.
std::vector<TestDevice> hopper_devices() {
  std::vector<TestDevice> all = devices();
  for (TestDevice& device : all) device.options.precision = Precision::kBF16;
  std::erase_if(all, [](const TestDevice& device) {
    if (device.device.kind == DeviceKind::kEmulated) return false;
    return device.make()->convolution_method() != ConvolutionMethod::kHopper;
  });
  for (TestDevice& device : all) device.options.convolution = ConvolutionMethod::kHopper;
  return all;
}

class HopperConvolution : public DeviceTest {
 protected:
  HopperConvolution() {
    BackendOptions options = GetParam().options;
    options.convolution = ConvolutionMethod::kNaive;
    naive_ = make_backend(GetParam().device, options);
  }

  /// Whole numbers from -2 to 2, rarely 0.
  static Tensor operand(Backend& on, const Shape& shape, std::uint32_t substream) {
    std::vector<float> values = normal_values(shape.count(), substream);
    for (float& value : values) value = std::clamp(std::round(value * 2.0f), -2.0f, 2.0f);
    const Tensor result = Tensor::empty(on, shape, DType::kBF16);
    on.cast(tensor_of(on, shape, values), result);
    return result;
  }

  static std::vector<float> values_of(Backend& on, const Tensor& tensor) {
    const Tensor result = Tensor::empty(on, tensor.shape());
    on.cast(tensor, result);
    return result.to_host<float>();
  }

  /// forward, gradient of the input, gradient of the filter.
  static std::vector<std::vector<float>> results(Backend& on, const Problem& problem) {
    const Tensor x = operand(on, problem.x, 1), filter = operand(on, problem.filter(), 2),
                 grad_y = operand(on, problem.y(), 3);
    const Tensor y = Tensor::empty(on, problem.y(), DType::kBF16), grad_x = Tensor::empty(on, problem.x, DType::kBF16),
                 grad_filter = Tensor::empty(on, problem.filter());
    on.conv2d_forward({x, filter, {}, y, {}}, problem.params);
    on.conv2d_backward_input({grad_y, filter, grad_x}, problem.params);
    on.conv2d_backward_filter(x, grad_y, problem.params, grad_filter);
    return {values_of(on, y), values_of(on, grad_x), grad_filter.to_host<float>()};
  }

  void expect_exact(Backend& hopper, const Problem& problem) {
    SCOPED_TRACE(problem.x.to_string() + " with " + problem.filter().to_string());
    const auto got = results(hopper, problem), expected = results(*naive_, problem);
    constexpr const char* kNames[] = {"y", "grad_x", "grad_filter"};
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].size(), expected[i].size());
      std::int64_t wrong = 0;
      for (std::size_t at = 0; at < got[i].size(); ++at) wrong += got[i][at] == expected[i][at] ? 0 : 1;
      EXPECT_EQ(wrong, 0) << kNames[i];
    }
  }

  std::unique_ptr<Backend> naive_;
};

TEST_P(HopperConvolution, IsExactOnWholeNumbers) {
  for (const Problem& problem : kProblems) expect_exact(backend(), problem);
}

TEST_P(HopperConvolution, IsExactInEveryOrderOfThreads) {
  if (GetParam().device.kind != DeviceKind::kEmulated) return;  // the hardware chooses its own
  std::uint64_t seed = 1;
  for (const ThreadOrder order :
       {ThreadOrder::kReverse, ThreadOrder::kShuffled, ThreadOrder::kShuffled, ThreadOrder::kShuffled}) {
    BackendOptions options = GetParam().options;
    options.thread_order = order;
    options.shuffle_seed = seed++;
    expect_exact(*make_backend(GetParam().device, options), kProblems[2]);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, HopperConvolution, ::testing::ValuesIn(hopper_devices()), device_name);

}  // namespace
}  // namespace gradamp::test
