// SPDX-License-Identifier: MIT
// The wrappers of kernels/cuda/ptx.h, compared with the PTX ISA manual. The manual's layouts are repeated here, element
// by element. Plain CUDA: tests that pass under the emulator should pass on a GPU.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/kernels/emulation/device_array.h"
#include "gradamp/tests/kernels/emulation/every_order.h"
#include "gradamp/tests/kernels/emulation/tensor_core_kernels.h"

#if defined(GRADAMP_EMULATION)
#include "gradamp/kernels/emulation/access_observer.h"
#endif

namespace gradamp::GRADAMP_GPU {
namespace {

struct Element {
  int row, column;
};

// "Matrix Fragments for mma.m16n8k16 with floating point type": element i of lane's fragment of a, b and d.
struct M16N8K16 {
  static constexpr int kDepth = 16, kElementsOfA = 8, kElementsOfB = 4;

  static Element a(int lane, int i) {
    const int group_id = lane >> 2, thread_in_group = lane % 4;
    return {(i < 2) || (i >= 4 && i < 6) ? group_id : group_id + 8,
            i < 4 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8};
  }
  static Element b(int lane, int i) {
    const int group_id = lane >> 2, thread_in_group = lane % 4;
    return {i < 2 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8, group_id};
  }
};

// "Matrix Fragments for mma.m16n8k8", .tf32.
struct M16N8K8 {
  static constexpr int kDepth = 8, kElementsOfA = 4, kElementsOfB = 2;

  static Element a(int lane, int i) {
    const int group_id = lane >> 2, thread_in_group = lane % 4;
    return {i == 0 || i == 2 ? group_id : group_id + 8, i < 2 ? thread_in_group : thread_in_group + 4};
  }
  static Element b(int lane, int i) {
    const int group_id = lane >> 2, thread_in_group = lane % 4;
    return {i == 0 ? thread_in_group : thread_in_group + 4, group_id};
  }
};

// The layout of d, in both instructions.
Element accumulator(int lane, int i) {
  const int group_id = lane >> 2, thread_in_group = lane % 4;
  return {i < 2 ? group_id : group_id + 8, thread_in_group * 2 + (i & 1)};
}

struct Matrix {
  int rows, columns;
  std::vector<float> values = std::vector<float>(static_cast<std::size_t>(rows * columns));

  float& at(int row, int column) { return values[static_cast<std::size_t>(row * columns + column)]; }
};

// Integers that bf16 and tf32 represent exactly: their products and sums are exact in every order.
Matrix random_integers(int rows, int columns, std::mt19937& generator) {
  Matrix matrix{rows, columns};
  std::uniform_int_distribution<int> numbers(-60, 60);
  for (float& value : matrix.values) value = static_cast<float>(numbers(generator));
  return matrix;
}

// A register has two bf16, the element of the lower index in the lower half, or one tf32.
std::vector<std::uint32_t> registers_of(const std::vector<float>& elements, MmaOperands operands) {
  std::vector<std::uint32_t> registers;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(elements[i]);
    if (operands == MmaOperands::kTF32)
      registers.push_back(bits);
    else if (i % 2 == 0)
      registers.push_back(bits >> 16);
    else
      registers.back() |= bits & 0xFFFF0000u;
  }
  return registers;
}

template <typename Layout>
void expect_product(MmaOperands operands, int row_tiles, int column_tiles) {
  SCOPED_TRACE(::testing::Message() << row_tiles << " x " << column_tiles << " tiles");
  std::mt19937 generator(static_cast<unsigned>(row_tiles * 100 + column_tiles));
  Matrix a = random_integers(16 * row_tiles, Layout::kDepth, generator);
  Matrix b = random_integers(Layout::kDepth, 8 * column_tiles, generator);
  Matrix d = random_integers(16 * row_tiles, 8 * column_tiles, generator);

  std::vector<float> a_elements, b_elements, d_elements, expected;
  for (int lane = 0; lane < 32; ++lane) {
    for (int tile = 0; tile < row_tiles; ++tile)
      for (int i = 0; i < Layout::kElementsOfA; ++i) {
        const Element element = Layout::a(lane, i);
        a_elements.push_back(a.at(16 * tile + element.row, element.column));
      }
    for (int tile = 0; tile < column_tiles; ++tile)
      for (int i = 0; i < Layout::kElementsOfB; ++i) {
        const Element element = Layout::b(lane, i);
        b_elements.push_back(b.at(element.row, 8 * tile + element.column));
      }
    for (int tile = 0; tile < row_tiles * column_tiles; ++tile)
      for (int i = 0; i < 4; ++i) {
        const int row = 16 * (tile / column_tiles) + accumulator(lane, i).row;
        const int column = 8 * (tile % column_tiles) + accumulator(lane, i).column;
        float sum = d.at(row, column);
        d_elements.push_back(sum);
        for (int k = 0; k < Layout::kDepth; ++k) sum += a.at(row, k) * b.at(k, column);
        expected.push_back(sum);
      }
  }
  const DeviceArray<std::uint32_t> device_a(registers_of(a_elements, operands));
  const DeviceArray<std::uint32_t> device_b(registers_of(b_elements, operands));
  const DeviceArray<float> device_d(d_elements);
  run_mma(operands, row_tiles, column_tiles, device_a.data(), device_b.data(), device_d.data());
  EXPECT_EQ(device_d.host(), expected);
}

TEST(Mma, BF16HasTheManualsLayout) {
  in_every_order([] {
    for (const auto& [rows, columns] : {std::pair{1, 1}, {2, 4}, {3, 5}, {4, 8}})
      expect_product<M16N8K16>(MmaOperands::kBF16, rows, columns);
  });
}

TEST(Mma, TF32HasTheManualsLayout) {
  in_every_order([] {
    for (const auto& [rows, columns] : {std::pair{1, 1}, {2, 4}, {3, 5}, {4, 8}})
      expect_product<M16N8K8>(MmaOperands::kTF32, rows, columns);
  });
}

TEST(Mma, TF32IgnoresTheLowBits) {
  const auto run = [](std::uint32_t low_bits) {
    std::mt19937 generator(1);
    std::normal_distribution<float> normal;
    std::vector<std::uint32_t> a(32 * 4), b(32 * 2);
    for (std::uint32_t& word : a) word = (std::bit_cast<std::uint32_t>(normal(generator)) & ~0x1FFFu) | low_bits;
    for (std::uint32_t& word : b) word = (std::bit_cast<std::uint32_t>(normal(generator)) & ~0x1FFFu) | low_bits;
    const DeviceArray<std::uint32_t> device_a(a), device_b(b);
    const DeviceArray<float> d(std::vector<float>(32 * 4, 0.0f));
    run_mma(MmaOperands::kTF32, 1, 1, device_a.data(), device_b.data(), d.data());
    return d.host();
  };
  const std::vector<float> clean = run(0);
  EXPECT_THAT(clean, ::testing::Contains(::testing::Ne(0.0f)));
  EXPECT_EQ(run(0x1FFF), clean);
  EXPECT_EQ(run(0x1000), clean);
}

// The manual's cvt.rna.tf32.f32: to the nearest value with a fraction of 10 bits; ties away from zero.
TEST(TF32, RoundsToTheNearest) {
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 0x80000; upper += 7) {
    for (const std::uint32_t lower : {0x0000u, 0x0001u, 0x0FFFu, 0x1000u, 0x1001u, 0x1FFFu})
      values.push_back(std::bit_cast<float>(upper << 13 | lower));
  }
  const DeviceArray<float> device_values(values);
  const DeviceArray<std::uint32_t> device_results(values.size());
  run_to_tf32(device_values.data(), static_cast<int>(values.size()), device_results.data());
  const std::vector<std::uint32_t> results = device_results.host();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float result = std::bit_cast<float>(results[i] & ~0x1FFFu);
    if (std::isnan(values[i])) {
      // A NaN stays a NaN unless its top 10 fraction bits are zero. Then an H100 returns infinity.
      const bool keeps_bits = (std::bit_cast<std::uint32_t>(values[i]) & 0x7FE000u) != 0;
      ASSERT_TRUE(keeps_bits ? std::isnan(result) : !std::isfinite(result)) << i;
      continue;
    }
    if (std::isinf(values[i])) {
      ASSERT_EQ(result, values[i]);
      continue;
    }
    int exponent = 0;
    std::frexp(values[i], &exponent);
    const double step = std::ldexp(1.0, std::max(exponent - 11, -136));  // between neighbors; 2^-136 for subnormal ones
    const double expected = std::round(values[i] / step) * step;         // std::round rounds ties away from zero
    if (expected < std::ldexp(1.0, 128) && expected > -std::ldexp(1.0, 128))
      ASSERT_EQ(result, expected) << values[i];
    else
      ASSERT_TRUE(std::isinf(result)) << values[i];
  }
}

// "ldmatrix": rows of 16 bytes at the addresses of lanes 8 m to 8 m + 7 form matrix m. "Each thread in a warp loads
// fragments of a row: the first four threads of the warp from row 0, the next four from row 1 ...", two values per
// thread.
void expect_ldmatrix(bool transposed) {
  SCOPED_TRACE(transposed ? "transposed" : "not transposed");
  constexpr int kStride = 24;  // per row, in values: rows have gaps, like padded ones
  std::vector<std::uint16_t> values(32 * kStride);
  std::iota(values.begin(), values.end(), std::uint16_t{1000});
  std::vector<int> rows(32), offsets(32);
  std::iota(rows.begin(), rows.end(), 0);
  std::shuffle(rows.begin(), rows.end(), std::mt19937(3));
  for (int lane = 0; lane < 32; ++lane) offsets[lane] = rows[lane] * kStride * 2;

  std::vector<std::uint32_t> expected;
  for (int lane = 0; lane < 32; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::uint32_t word = 0;
      for (int i = 0; i < 2; ++i) {
        int row = lane / 4, column = lane % 4 * 2 + i;
        if (transposed) std::swap(row, column);
        word |= std::uint32_t{values[rows[8 * matrix + row] * kStride + column]} << 16 * i;
      }
      expected.push_back(word);
    }
  }
  const DeviceArray<std::uint16_t> device_values(values);
  const DeviceArray<int> device_offsets(offsets);
  const DeviceArray<std::uint32_t> registers(expected.size());
  run_ldmatrix(transposed, device_values.data(), static_cast<int>(values.size()), device_offsets.data(),
               registers.data());
  EXPECT_EQ(registers.host(), expected);
}

TEST(Ldmatrix, HasTheManualsLayout) {
  in_every_order([] {
    for (const bool transposed : {false, true}) expect_ldmatrix(transposed);
  });
}

TEST(AsyncCopy, PipelinesGroupsAndFillsWithZeros) {
  constexpr int kGroups = 7;
  std::vector<float> source(kGroups * 128), expected(source.size());
  std::iota(source.begin(), source.end(), 1.0f);
  const bool valid[kGroups] = {true, true, false, true, false, false, true};
  for (int i = 0; i < kGroups * 128; ++i) expected[i] = valid[i / 128] ? source[i / 128 * 128 + 127 - i % 128] : 0.0f;
  const DeviceArray<float> device_source(source);
  DeviceArray<bool> device_valid(kGroups);
  check_cuda(cudaMemcpy(device_valid.data(), valid, sizeof valid, cudaMemcpyHostToDevice), "cudaMemcpy");
  in_every_order([&] {
    const DeviceArray<float> target(source.size());
    run_async_copies(device_source.data(), device_valid.data(), kGroups, target.data());
    EXPECT_EQ(target.host(), expected);
  });
}

TEST(AsyncCopy, WaitsForAllButTheLastGroups) {
#if defined(GRADAMP_EMULATION)
  if (emulation::access_observer) GTEST_SKIP() << "reads what has not arrived, on purpose: the race checker forbids it";
#endif
  std::vector<float> source(3 * 128);
  std::iota(source.begin(), source.end(), 1.0f);
  const DeviceArray<float> device_source(source);
  const DeviceArray<float> seen(3 * 32);
  for (const int groups : {0, 1, 2}) {
    run_async_groups(groups, device_source.data(), seen.data());
    const std::vector<float> values = seen.host();
    for (int i = 0; i < 3 * 32; ++i) {
      if (i / 32 < 3 - groups) {
        ASSERT_EQ(values[i], source[4 * i + 1]) << groups << " " << i;
        continue;
      }
#if defined(GRADAMP_EMULATION)
      ASSERT_TRUE(std::isnan(values[i])) << groups << " " << i;  // on a GPU the value is undefined
#endif
    }
  }
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
