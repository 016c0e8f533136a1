// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/channel_pairs.h"

#include <gtest/gtest.h>

namespace gradamp::GRADAMP_GPU {
namespace {

// Too large for a test on a device: the ranges of all slices have counters, or there is one range.
TEST(ChannelPairs, TheCountersSuffice) {
  int single = 0;
  for (const Rows& rows : {Rows{1, 1}, Rows{4096, 64}, Rows{4097, 64}, Rows{131072, 64}, Rows{8192, 512},
                           Rows{2'000'000'000, 1}, Rows{4'000'000, 512}, Rows{32768, 65536}, Rows{4097, 524288}}) {
    SCOPED_TRACE(testing::Message() << rows.rows << " rows of " << rows.channels);
    double memory = 0;  // only its address is computed with
    const ChannelPairs sums(rows, nullptr, &memory, nullptr);
    const int ranges = ChannelPairs::count_ranges(sums.group_count, sums.groups_of_range);
    const std::int64_t slices = (rows.channels + 31) / 32;
    EXPECT_LE(ranges == 1 ? slices : (ranges + 1) * slices, kMaxCompletionCounters);
    EXPECT_GE(std::int64_t{ranges} * sums.groups_of_range * kGroupRows, rows.rows);
    single += ranges == 1 && sums.group_count > 32;
  }
  EXPECT_EQ(single, 2);  // the last two
}

TEST(ChannelPairs, ARangeHasAboutAsManyGroupsAsThereAreRanges) {
  double memory = 0;
  const ChannelPairs sums({131072, 64}, nullptr, &memory, nullptr);
  EXPECT_EQ(sums.group_count, 1024);
  EXPECT_EQ(sums.groups_of_range, 32);
  // Two doubles a channel for each of 32 ranges, two floats for each of 1024 groups.
  EXPECT_EQ(ChannelPairs::workspace({131072, 64}), 64u * (2 * 32 + 1024));
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
