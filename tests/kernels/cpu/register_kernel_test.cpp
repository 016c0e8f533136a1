// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/simd/register_kernel.h"

#include <vector>

#include <gtest/gtest.h>

namespace gradamp::test {
namespace {

using namespace GRADAMP_SIMD;

/// Small whole numbers: sums of their products are exact, in any order.
std::vector<float> whole_numbers(std::int64_t count, int seed) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>((i * 7 + seed) % 11 - 5));
  return values;
}

struct Product {
  std::int64_t rows, depth;
  int groups;
  bool overwrite;
};

/// Rows of C behind those that are computed, which must stay as they are.
constexpr std::int64_t kSpareRows = 3;

template <int kWidth, ProductKind kKind>
void check(const Product& p) {
  constexpr bool kPlain = kKind == ProductKind::kPlain;
  SCOPED_TRACE(::testing::Message() << (kPlain ? "plain " : "transposed ") << "width " << kWidth << " rows " << p.rows
                                    << " depth " << p.depth << " groups " << p.groups);
  const std::int64_t a_lines = kPlain ? p.rows : p.depth, a_groups = kPlain ? p.depth / kGroup : 1;
  const std::vector<float> a = whole_numbers(a_groups * a_lines * kGroup, 1);
  const std::vector<float> b = whole_numbers(p.depth * p.groups * kGroup, 2);
  const std::int64_t c_group = (p.rows + kSpareRows) * kGroup;
  const std::vector<float> before = whole_numbers(p.groups * c_group, 3);
  std::vector<float> c = before;
  multiply<kWidth, kKind>(p.rows, p.groups,
                          {.a = a.data(),
                           .a_group = a_lines * kGroup,
                           .b = b.data(),
                           .b_group = p.depth * kGroup,
                           .c = c.data(),
                           .c_group = c_group,
                           .depth = p.depth,
                           .overwrite = p.overwrite});
  for (std::int64_t group = 0; group < p.groups; ++group)
    for (std::int64_t row = 0; row < p.rows + kSpareRows; ++row)
      for (std::int64_t column = 0; column < kGroup; ++column) {
        const auto at = static_cast<std::size_t>(group * c_group + row * kGroup + column);
        float expected = before[at];
        if (row < p.rows) {
          if (p.overwrite) expected = 0;
          for (std::int64_t l = 0; l < p.depth; ++l) {
            const std::int64_t a_at = kPlain ? (l / kGroup * a_lines + row) * kGroup + l % kGroup : l * kGroup + row;
            const std::int64_t b_at = kPlain ? (l * p.groups + group) * kGroup : (group * p.depth + l) * kGroup;
            expected += a[static_cast<std::size_t>(a_at)] * b[static_cast<std::size_t>(b_at + column)];
          }
        }
        ASSERT_EQ(c[at], expected) << "group " << group << " row " << row << " column " << column;
      }
}

template <int kWidth>
void check_all() {
  for (const int groups : {1, 2, 4}) {
    if (block_groups<kWidth>(groups) != groups) continue;
    for (const bool overwrite : {true, false}) {
      for (std::int64_t rows = 1; rows <= 60; ++rows) check<kWidth, ProductKind::kPlain>({rows, 32, groups, overwrite});
      for (std::int64_t rows = 1; rows <= kGroup; ++rows)
        check<kWidth, ProductKind::kTransposed>({rows, 13, groups, overwrite});
    }
  }
}

TEST(RegisterKernel, IsTheProductWithVectorsOf4) { check_all<4>(); }
TEST(RegisterKernel, IsTheProductWithVectorsOf8) { check_all<8>(); }
TEST(RegisterKernel, IsTheProductWithVectorsOf16) { check_all<16>(); }

TEST(RegisterKernel, ABlockIsTheWidestThatGroupsFill) {
  EXPECT_EQ(block_groups<16>(1), 1);
  EXPECT_EQ(block_groups<16>(3), 2);
  EXPECT_EQ(block_groups<16>(9), 4);
  EXPECT_EQ(block_groups<8>(9), 1);
}

}  // namespace
}  // namespace gradamp::test
