// SPDX-License-Identifier: MIT
#include "gradamp/core/shape.h"

#include <gtest/gtest.h>

#include "gradamp/core/device.h"
#include "gradamp/core/dtype.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

TEST(ShapeTest, KnowsItsExtents) {
  const Shape shape = {128, 32, 30, 3};
  EXPECT_EQ(shape.rank(), 4);
  EXPECT_EQ(shape[0], 128);
  EXPECT_EQ(shape[3], 3);
  EXPECT_EQ(shape.count(), 128 * 32 * 30 * 3);
  EXPECT_EQ(shape.to_string(), "[128, 32, 30, 3]");
}

TEST(ShapeTest, NoExtentIsAScalar) {
  const Shape scalar;
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.count(), 1);
  EXPECT_EQ(scalar.to_string(), "[]");
  EXPECT_NE(scalar, (Shape{1}));
}

TEST(ShapeTest, ComparesRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
  EXPECT_NE((Shape{2, 0}), (Shape{2}));
}

TEST(ShapeTest, CountsBeyond32Bits) { EXPECT_EQ((Shape{1 << 20, 1 << 20}).count(), std::int64_t{1} << 40); }

TEST(ShapeTest, AnExtentOfZeroHoldsNothing) { EXPECT_EQ((Shape{0, 5}).count(), 0); }

TEST(ShapeTest, RefusesWhatIsNoShape) {
  EXPECT_EQ(error_of([] { Shape{1, 2, 3, 4, 5}; }), "a shape has at most 4 extents, got 5");
  EXPECT_EQ(error_of([] { Shape{2, -1}; }), "an extent is at least 0, got -1");
  EXPECT_EQ(error_of([] {
              Shape shape = {1, 2, 3, 4};
              shape.push_back(5);
            }),
            "a shape has at most 4 extents");
  EXPECT_EQ(error_of([] {
              Shape{1000000, 1000000, 1000000, 10};
            }),
            "a tensor has at most 2^60 elements, got an extent of 10 after 1000000000000000000 of them");
  EXPECT_EQ(error_of([] {
              Shape{std::int64_t{1} << 40, std::int64_t{1} << 40};
            }),
            "a tensor has at most 2^60 elements, got an extent of 1099511627776 after 1099511627776 of them");
}

TEST(DTypeTest, NamesAndSizes) {
  EXPECT_STREQ(name_of(DType::kF32), "f32");
  EXPECT_STREQ(name_of(DType::kBF16), "bf16");
  EXPECT_STREQ(name_of(DType::kI32), "i32");
  EXPECT_STREQ(name_of(DType::kU8), "u8");
  EXPECT_STREQ(name_of(DType::kF64), "f64");
  EXPECT_STREQ(name_of(DType::kI64), "i64");
  EXPECT_STREQ(name_of(DType::kF16), "f16");
  EXPECT_EQ(size_of(DType::kF32), sizeof(float));
  EXPECT_EQ(size_of(DType::kBF16), 2u);
  EXPECT_EQ(size_of(DType::kI32), sizeof(std::int32_t));
  EXPECT_EQ(size_of(DType::kU8), 1u);
  EXPECT_EQ(size_of(DType::kF64), sizeof(double));
  EXPECT_EQ(size_of(DType::kI64), sizeof(std::int64_t));
  EXPECT_EQ(size_of(DType::kF16), 2u);
}

TEST(DeviceTextTest, ReadsWhatItWrites) {
  EXPECT_EQ(parse_device(to_string(Device{})), Device{});
  EXPECT_EQ(error_of([] { parse_device("gpu"); }), "expected a device (cpu, cuda or emulated), got 'gpu'");
  EXPECT_NE(error_of([] { parse_device(""); }), "");
}

TEST(ErrorTest, FormatsItsMessage) {
  EXPECT_EQ(error_of([] { fail("expected {}, got '{}'", 3, "x"); }), "expected 3, got 'x'");
  EXPECT_EQ(error_of([] { check(1 > 2, "no {}", 1); }), "no 1");
  EXPECT_EQ(error_of([] { check(2 > 1, "no {}", 1); }), "");
}

}  // namespace
}  // namespace gradamp::test
