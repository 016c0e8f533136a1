// SPDX-License-Identifier: MIT
#include "gradamp/core/tensor.h"

#include <array>

#include <gtest/gtest.h>

#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

class TensorTest : public DeviceTest {};

TEST_P(TensorTest, AnUndefinedTensorIsNone) {
  const Tensor none;
  EXPECT_FALSE(none.defined());
  EXPECT_TRUE(Tensor::empty(backend(), {2}).defined());
}

TEST_P(TensorTest, CopiesThereAndBack) {
  const Tensor f32 = tensor_of(backend(), {2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(f32.to_host<float>(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(f32.shape(), (Shape{2, 3}));
  EXPECT_EQ(f32.dtype(), DType::kF32);
  EXPECT_EQ(f32.count(), 6);
  EXPECT_EQ(f32.bytes(), 24u);
  EXPECT_EQ(&f32.backend(), &backend());
  const std::vector<std::int64_t> large = {std::int64_t{1} << 60, -1};
  EXPECT_EQ(Tensor::from_host(backend(), {2}, large).to_host<std::int64_t>(), large);
  const std::vector<std::uint8_t> bytes = {0, 127, 255};
  EXPECT_EQ(Tensor::from_host(backend(), {3}, bytes).to_host<std::uint8_t>(), bytes);
  const std::vector<double> doubles = {1e300, -0.1};
  EXPECT_EQ(Tensor::from_host(backend(), {2}, doubles).to_host<double>(), doubles);
  EXPECT_EQ(tensor_of(backend(), {}, {7}).to_host<float>(), std::vector<float>{7});
}

TEST_P(TensorTest, NothingIsAlsoATensor) {
  const Tensor nothing = tensor_of(backend(), {0, 3}, {});
  EXPECT_TRUE(nothing.defined());
  EXPECT_TRUE(nothing.to_host<float>().empty());
  nothing.fill_zero();
}

TEST_P(TensorTest, ZerosAreZeroWhateverWasThere) {
  for (int i = 0; i < 3; ++i) tensor_of(backend(), {1000}, std::vector<float>(1000, 5.0f));
  EXPECT_EQ(Tensor::zeros(backend(), {1000}).to_host<float>(), std::vector<float>(1000, 0.0f));
}

TEST_P(TensorTest, CopiesOfTheHandleShareTheMemory) {
  const Tensor tensor = tensor_of(backend(), {2}, {1, 2});
  EXPECT_TRUE(tensor.is_unique());
  const Tensor other = tensor;
  EXPECT_FALSE(tensor.is_unique());
  other.copy_from_host(std::span<const float>(std::array{3.0f, 4.0f}));
  EXPECT_EQ(tensor.to_host<float>(), (std::vector<float>{3, 4}));
}

TEST_P(TensorTest, AViewIsAPartOfTheSameMemory) {
  const Tensor tensor = tensor_of(backend(), {2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor view = tensor.view({2, 2}, 1);
  EXPECT_FALSE(tensor.is_unique());
  EXPECT_EQ(view.shape(), (Shape{2, 2}));
  EXPECT_EQ(view.to_host<float>(), (std::vector<float>{2, 3, 4, 5}));
  EXPECT_EQ(view.view({2}, 2).to_host<float>(), (std::vector<float>{4, 5}));
  view.view({1}, 3).fill_zero();
  EXPECT_EQ(tensor.to_host<float>(), (std::vector<float>{1, 2, 3, 4, 0, 6}));
  EXPECT_EQ(tensor.view({3, 2}).shape(), (Shape{3, 2}));
  EXPECT_EQ(view.data<float>(), tensor.data<float>() + 1);
}

TEST_P(TensorTest, AViewKeepsTheMemory) {
  Tensor view;
  {
    const Tensor tensor = tensor_of(backend(), {3}, {1, 2, 3});
    view = tensor.view({1}, 2);
  }
  for (int i = 0; i < 3; ++i) tensor_of(backend(), {3}, {9, 9, 9});
  EXPECT_EQ(view.to_host<float>(), std::vector<float>{3});
}

TEST_P(TensorTest, RefusesAViewOutside) {
  const Tensor tensor = Tensor::zeros(backend(), {2, 3});
  EXPECT_EQ(error_of([&] { tensor.view({7}); }), "expected a view inside 6 elements, got 7 from 0 on");
  EXPECT_EQ(error_of([&] { tensor.view({3}, 4); }), "expected a view inside 6 elements, got 3 from 4 on");
  EXPECT_NE(error_of([&] { tensor.view({3}, -1); }), "");
  EXPECT_NE(error_of([&] { tensor.view({4}).view({2}, 3); }), "") << "a view of a view reached outside the first";
}

TEST_P(TensorTest, RefusesAnotherCountOrType) {
  const Tensor tensor = Tensor::zeros(backend(), {2, 3});
  EXPECT_EQ(error_of([&] { tensor_of(backend(), {2, 3}, {1, 2}); }), "expected 6 values, got 2");
  EXPECT_EQ(error_of([&] { tensor.to_host<double>(); }), "expected a tensor of f64, got f32");
  EXPECT_EQ(error_of([&] { tensor.data<std::int32_t>(); }), "expected a tensor of i32, got f32");
  EXPECT_EQ(error_of([&] { tensor.copy_from_host(std::span<const double>(std::vector<double>(6))); }),
            "expected values of f32, got f64");
  std::array<std::byte, 23> bytes{};
  EXPECT_EQ(error_of([&] { tensor.copy_bytes_from_host(bytes); }), "expected 24 bytes, got 23");
  EXPECT_EQ(error_of([&] { tensor.copy_bytes_to_host(bytes); }), "expected room for 24 bytes, got 23");
}

INSTANTIATE_TEST_SUITE_P(Devices, TensorTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test
