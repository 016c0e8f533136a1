// SPDX-License-Identifier: MIT
// The wrappers of kernels/cuda/ptx_hopper.h and the tensor maps. Plain CUDA: tests that pass under the emulator should
// pass on a GPU of compute capability 9.0.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/kernels/cuda/tensor_map.h"
#include "gradamp/tests/kernels/emulation/device_array.h"
#include "gradamp/tests/kernels/emulation/every_order.h"
#include "gradamp/tests/kernels/emulation/hopper_kernels.h"

namespace gradamp::GRADAMP_GPU {
namespace {

// Small integers: sums of products are exact in every order.
std::vector<bf16> random_integers(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_int_distribution<int> digit(-4, 4);
  std::vector<bf16> values(count);
  for (bf16& value : values) value = __float2bfloat16(static_cast<float>(digit(engine)));
  return values;
}

std::vector<float> floats(const std::vector<bf16>& values) {
  std::vector<float> result(values.size());
  std::transform(values.begin(), values.end(), result.begin(), [](bf16 value) { return __bfloat162float(value); });
  return result;
}

TEST(Hopper, WgmmaMultipliesInEveryMajor) {
  const std::vector<bf16> a = random_integers(64 * 64, 1);
  const DeviceArray<bf16> device_a(a);
  for (const int n : {64, 128, 256}) {
    const std::vector<bf16> b = random_integers(static_cast<std::size_t>(64 * n), 2);
    const std::vector<float> fa = floats(a), fb = floats(b);
    std::vector<float> expected(static_cast<std::size_t>(64 * n));
    for (int m = 0; m < 64; ++m)
      for (int k = 0; k < 64; ++k)
        for (int column = 0; column < n; ++column) expected[m * n + column] += fa[m * 64 + k] * fb[k * n + column];
    const DeviceArray<bf16> device_b(b);
    in_every_order([&] {
      for (const bool a_mn_major : {false, true})
        for (const bool b_mn_major : {false, true}) {
          const DeviceArray<float> d(expected.size());
          launch_product(a_mn_major, b_mn_major, n, device_a.data(), device_b.data(), d.data());
          EXPECT_EQ(d.host(), expected) << "n " << n << ", MN-major: " << a_mn_major << b_mn_major;
        }
    });
  }
}

// Examples with results from Triton's tutorial python/tutorials/gluon/13-conv-im2col.py, whose tests run on hardware.
// The images have 4 x 4 pixels with the values 1, 2, 3 ...; a load has 16 pixels.
struct Im2colExample {
  int batch, lower, upper, w, h, offset;
  std::vector<int> expected;
};

TEST(Hopper, Im2colWalksAsOnHardware) {
  const Im2colExample examples[] = {
      {1, 0, 0, 0, 0, 0, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
      {1, -1, -1, -1, -1, 0, {0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11}},
      {1, -1, -1, -1, -1, 1, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
      {2, 0, 0, 3, 1, 0, {8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}},
      {2, -1, -1, 2, 1, 0, {7, 0, 9, 10, 11, 0, 0, 0, 0, 0, 17, 18, 19, 0, 21, 22}},
  };
  in_every_order([&] {
    for (const Im2colExample& each : examples) {
      std::vector<bf16> image(static_cast<std::size_t>(each.batch) * 16 * 64);
      for (std::size_t i = 0; i < image.size(); ++i) image[i] = __float2bfloat16(static_cast<float>(i / 64 + 1));
      const DeviceArray<bf16> device(image);
      const TensorMap map = im2col_map(device.data(), {.batch = each.batch,
                                                       .height = 4,
                                                       .width = 4,
                                                       .channels = 64,
                                                       .stride = 1,
                                                       .lower_h = each.lower,
                                                       .lower_w = each.lower,
                                                       .upper_h = each.upper,
                                                       .upper_w = each.upper,
                                                       .pixels = 16});
      const DeviceArray<bf16> out(16 * 64);
      launch_im2col(map, 16, 0, each.w, each.h, 0, each.offset, each.offset, out.data());
      const std::vector<float> values = floats(out.host());
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(static_cast<int>(values[i]), each.expected[i / 64]) << "pixel " << i / 64;
    }
  });
}

// Steps of 2, corners and offsets that differ between h and w, sides that differ, channels that a box only partly
// covers.
TEST(Hopper, Im2colWalksInSteps) {
  constexpr int kBatch = 3, kHeight = 5, kWidth = 7, kChannels = 72, kPixels = 24, kStride = 2;
  constexpr int kLowerH = -1, kLowerW = -2, kUpperH = 0, kUpperW = -1, kOffsetW = 2, kOffsetH = 1, kFirstChannel = 64;
  const std::vector<bf16> image = random_integers(kBatch * kHeight * kWidth * kChannels, 4);
  const std::vector<float> values = floats(image);
  std::vector<float> expected;
  for (int n = 0; n < kBatch; ++n)
    for (int h = kLowerH; h <= kHeight - 1 + kUpperH; h += kStride)
      for (int w = kLowerW; w <= kWidth - 1 + kUpperW; w += kStride)
        for (int c = kFirstChannel; c < kFirstChannel + 64; ++c) {
          const int y = h + kOffsetH, x = w + kOffsetW;
          const bool inside = y >= 0 && y < kHeight && x >= 0 && x < kWidth && c < kChannels;
          expected.push_back(inside ? values[((n * kHeight + y) * kWidth + x) * kChannels + c] : 0.0f);
        }
  expected.resize(kPixels * 64);
  const DeviceArray<bf16> device(image);
  const TensorMap map = im2col_map(device.data(), {.batch = kBatch,
                                                   .height = kHeight,
                                                   .width = kWidth,
                                                   .channels = kChannels,
                                                   .stride = kStride,
                                                   .lower_h = kLowerH,
                                                   .lower_w = kLowerW,
                                                   .upper_h = kUpperH,
                                                   .upper_w = kUpperW,
                                                   .pixels = kPixels});
  const DeviceArray<bf16> out(kPixels * 64);
  launch_im2col(map, kPixels, kFirstChannel, kLowerW, kLowerH, 0, kOffsetW, kOffsetH, out.data());
  EXPECT_EQ(floats(out.host()), expected);
}

// The last box is partly outside the tensor. (The tensor is smaller than 128 KiB, which older drivers encode wrongly.)
TEST(Hopper, BoxesComeThroughSlots) {
  constexpr int kRounds = 7, kRows = kRounds * 64 - 10;
  const std::vector<bf16> rows = random_integers(kRows * 64, 3);
  std::vector<float> expected = floats(rows);
  expected.resize(kRounds * 64 * 64);
  const DeviceArray<bf16> device(rows);
  const int dims[] = {64, kRows, 1, 1}, box[] = {64, 64, 1, 1};
  for (const int rank : {2, 3, 4}) {
    const TensorMap map = tiled_map(device.data(), rank, dims, box);
    in_every_order([&] {
      const DeviceArray<bf16> out(expected.size());
      launch_boxes(map, rank, kRounds, out.data());
      EXPECT_EQ(floats(out.host()), expected) << rank << " dimensions";
    });
  }
}

TEST(Hopper, NamedBarriersAreApart) {
  std::vector<int> values(128), expected(128);
  std::iota(values.begin(), values.end(), 0);
  for (int i = 0; i < 128; ++i) expected[i] = (i + 64) % 128;
  const DeviceArray<int> in(values);
  in_every_order([&] {
    const DeviceArray<int> out(128);
    launch_exchange(in.data(), out.data());
    EXPECT_EQ(out.host(), expected);
  });
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
