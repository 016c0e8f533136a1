// SPDX-License-Identifier: MIT
// Compares the naive convolutions with the plain float64 loops of tests/kernels/reference.h. Plain CUDA, compiled
// twice: for the emulator and, if there is a toolkit, for a GPU.
#include "gradamp/kernels/cuda/convolution_naive.h"

#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/tests/kernels/emulation/device_array.h"
#include "gradamp/tests/kernels/reference.h"

namespace gradamp::GRADAMP_GPU {
namespace {

using reference::Array;

/// An image or a filter on the device, f32 or bf16. For bf16 the values must be representable in bf16.
class DeviceTensor {
 public:
  DeviceTensor(DType type, const Array& array)
      : is_bf16_(type == DType::kBF16), floats_(array.values.size()), halves_(array.values.size()) {
    std::vector<float> floats;
    std::vector<std::uint16_t> halves;
    for (const double value : array.values) {
      floats.push_back(static_cast<float>(value));
      halves.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(floats.back()) >> 16));
    }
    floats_.assign(floats);
    halves_.assign(halves);
  }

  void* data() const { return is_bf16_ ? static_cast<void*>(halves_.data()) : floats_.data(); }
  std::vector<double> host() const {
    std::vector<double> values;
    if (is_bf16_) {
      for (const std::uint16_t half : halves_.host()) values.push_back(std::bit_cast<float>(std::uint32_t{half} << 16));
    } else {
      for (const float value : floats_.host()) values.push_back(value);
    }
    return values;
  }

 private:
  bool is_bf16_;
  DeviceArray<float> floats_;
  DeviceArray<std::uint16_t> halves_;
};

/// The inputs and results of one convolution and its two gradients.
struct Tensors {
  Array x, filter, y, grad_y, grad_x, grad_filter;
};

Shape shape_of_x(const GeneralConvolution& c) {
  return {c.shape.batch, c.shape.height, c.shape.width, c.shape.in_channels};
}
Shape shape_of_filter(const GeneralConvolution& c) {
  return {c.shape.out_channels, c.shape.kernel_h, c.shape.kernel_w, c.shape.in_channels / c.groups};
}
Shape shape_of_y(const GeneralConvolution& c) {
  return {c.shape.batch, c.shape.out_height, c.shape.out_width, c.shape.out_channels};
}
Conv2dParams params_of(const GeneralConvolution& c) { return {c.shape.stride, c.shape.padding, c.dilation, c.groups}; }

/// x, filter and grad_y are drawn by draw(); the other tensors are computed by the reference.
template <typename Draw>
Tensors expected_tensors(const GeneralConvolution& shape, Draw draw) {
  Tensors t{Array(shape_of_x(shape)), Array(shape_of_filter(shape)), {}, Array(shape_of_y(shape)), {}, {}};
  for (Array* array : {&t.x, &t.filter, &t.grad_y})
    for (double& value : array->values) value = draw();
  const Conv2dParams params = params_of(shape);
  t.y = reference::conv2d({t.x, t.filter}, params);
  const reference::Arrays gradients = reference::conv2d_backward({t.x, t.filter}, t.grad_y, params);
  t.grad_x = gradients[0];
  t.grad_filter = gradients[1];
  return t;
}

/// The kernels' y, grad_x and grad_filter for given x, filter and grad_y. The results are initialized with NaN.
Tensors computed_tensors(DType type, const GeneralConvolution& shape, const Tensors& given) {
  const auto unset = [](const Shape& extents) {
    Array array(extents);
    for (double& value : array.values) value = std::nan("");
    return array;
  };
  const DeviceTensor x(type, given.x), filter(type, given.filter), grad_y(type, given.grad_y);
  const DeviceTensor y(type, unset(shape_of_y(shape))), grad_x(type, unset(shape_of_x(shape)));
  const DeviceTensor grad_filter(DType::kF32, unset(shape_of_filter(shape)));
  launch_naive_convolution(nullptr, type, shape, x.data(), filter.data(), nullptr, y.data());
  launch_naive_convolution_backward_input(nullptr, type, shape, grad_y.data(), filter.data(), grad_x.data());
  launch_naive_convolution_backward_filter(nullptr, type, shape, x.data(), grad_y.data(),
                                           static_cast<float*>(grad_filter.data()));
  Tensors result;
  result.y = Array(shape_of_y(shape), y.host());
  result.grad_x = Array(shape_of_x(shape), grad_x.host());
  result.grad_filter = Array(shape_of_filter(shape), grad_filter.host());
  return result;
}

GeneralConvolution make_shape(int batch, int height, int width, int in_channels, int out_channels, int kernel_h,
                              int kernel_w, int stride, int padding, int dilation = 1, int groups = 1) {
  ConvolutionShape shape{};
  shape.batch = batch;
  shape.height = height;
  shape.width = width;
  shape.in_channels = in_channels;
  shape.out_height = (height + 2 * padding - (kernel_h - 1) * dilation - 1) / stride + 1;
  shape.out_width = (width + 2 * padding - (kernel_w - 1) * dilation - 1) / stride + 1;
  shape.out_channels = out_channels;
  shape.kernel_h = kernel_h;
  shape.kernel_w = kernel_w;
  shape.stride = stride;
  shape.padding = padding;
  return {shape, dilation, groups};
}

/// Each pair of extents differs in at least one shape, so that an exchange of two of them would show.
std::vector<GeneralConvolution> shapes() {
  return {
      make_shape(1, 1, 1, 1, 1, 1, 1, 1, 0),       make_shape(2, 7, 5, 3, 4, 3, 3, 1, 1),
      make_shape(3, 9, 6, 5, 2, 3, 3, 2, 1),       make_shape(2, 8, 11, 4, 7, 1, 1, 2, 0),
      make_shape(1, 10, 7, 2, 3, 5, 3, 3, 2),      make_shape(2, 4, 6, 3, 5, 2, 4, 1, 3),  // padding beyond the taps
      make_shape(2, 9, 8, 3, 4, 3, 2, 2, 1, 2),    make_shape(1, 5, 6, 4, 6, 3, 3, 1, 1, 1, 2),
      make_shape(2, 7, 9, 3, 3, 3, 3, 1, 2, 3, 3),
  };
}

class NaiveConvolutionTest : public ::testing::TestWithParam<DType> {};

// Small integers: every sum is exact in float32, so a correct kernel gives the reference's values, in bf16 rounded.
TEST_P(NaiveConvolutionTest, IsExactOnIntegers) {
  std::mt19937 generator(1);
  std::uniform_int_distribution<int> integers(-7, 7);
  for (const GeneralConvolution& shape : shapes()) {
    SCOPED_TRACE(shape_of_x(shape).to_string() + " by " + shape_of_filter(shape).to_string());
    const Tensors expected = expected_tensors(shape, [&] { return integers(generator); });
    const Tensors computed = computed_tensors(GetParam(), shape, expected);
    const auto stored = [](const Array& array) {
      return GetParam() == DType::kBF16 ? reference::round_to_bf16(array).values : array.values;
    };
    EXPECT_EQ(computed.y.values, stored(expected.y));
    EXPECT_EQ(computed.grad_x.values, stored(expected.grad_x));
    EXPECT_EQ(computed.grad_filter.values, expected.grad_filter.values);
  }
}

// A float32 sum of n fused multiply-adds is off by at most n 2^-24 times the sum of the products' magnitudes. A bf16
// result is off by another 2^-8 of its value.
TEST_P(NaiveConvolutionTest, RoundsLikeFusedMultiplyAdds) {
  const bool is_bf16 = GetParam() == DType::kBF16;
  std::mt19937 generator(2);
  std::normal_distribution<float> normal;
  for (const GeneralConvolution& shape : shapes()) {
    SCOPED_TRACE(shape_of_x(shape).to_string() + " by " + shape_of_filter(shape).to_string());
    const auto draw = [&]() -> double {
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(normal(generator)) & (is_bf16 ? 0xffff0000u : ~0u));
    };
    const Tensors expected = expected_tensors(shape, draw);
    const Tensors computed = computed_tensors(GetParam(), shape, expected);
    Tensors magnitudes = expected;
    for (Array* array : {&magnitudes.x, &magnitudes.filter, &magnitudes.grad_y})
      for (double& value : array->values) value = std::fabs(value);
    const Conv2dParams params = params_of(shape);
    magnitudes.y = reference::conv2d({magnitudes.x, magnitudes.filter}, params);
    const reference::Arrays gradients =
        reference::conv2d_backward({magnitudes.x, magnitudes.filter}, magnitudes.grad_y, params);
    const auto compare = [&](const char* name, const Array& got, const Array& want, const Array& magnitude,
                             std::int64_t terms, bool rounded) {
      for (std::size_t i = 0; i < want.values.size(); ++i) {
        const double bound = static_cast<double>(terms) * std::ldexp(1.0, -24) * magnitude.values[i] +
                             (rounded ? std::ldexp(std::fabs(want.values[i]), -8) : 0.0);
        ASSERT_NEAR(got.values[i], want.values[i], bound) << name << " " << i;
      }
    };
    compare("y", computed.y, expected.y, magnitudes.y, shape.shape.taps() * shape.shape.in_channels, is_bf16);
    compare("grad_x", computed.grad_x, expected.grad_x, gradients[0], shape.shape.taps() * shape.shape.out_channels,
            is_bf16);
    compare("grad_filter", computed.grad_filter, expected.grad_filter, gradients[1], shape.shape.pixels_out(), false);
  }
}

INSTANTIATE_TEST_SUITE_P(, NaiveConvolutionTest, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return type.param == DType::kF32 ? "f32" : "bf16"; });

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
