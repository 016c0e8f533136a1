// SPDX-License-Identifier: MIT
#include "gradamp/core/philox.h"

#include <array>
#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace gradamp::test {
namespace {

using Words = std::array<std::uint32_t, 4>;

Words words(const PhiloxBlock& block) { return {block.word[0], block.word[1], block.word[2], block.word[3]}; }

// The test vectors of the authors' Random123 library: philox4x32, 10 rounds. Its counter is our (index low, index high,
// stream, substream), its key our seed (low, high).
TEST(PhiloxTest, GivesTheKnownAnswers) {
  EXPECT_EQ(words(philox(0, RandomStream{0}, 0, 0)), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words(philox(~0ull, RandomStream{0xffffffffu}, 0xffffffffu, ~0ull)),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // The digits of pi: all words of counter and key differ, so an exchange of two of them would show.
  EXPECT_EQ(words(philox(0x299f31d0a4093822ull, RandomStream{0x13198a2e}, 0x03707344, 0x85a308d3243f6a88ull)),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, EveryPartOfTheAddressChangesTheBlock) {
  std::set<Words> blocks = {words(philox(1, RandomStream::kTest, 2, 3))};
  blocks.insert(words(philox(2, RandomStream::kTest, 2, 3)));
  blocks.insert(words(philox(1 + (1ull << 32), RandomStream::kTest, 2, 3)));
  blocks.insert(words(philox(1, RandomStream::kOrder, 2, 3)));
  blocks.insert(words(philox(1, RandomStream::kTest, 3, 3)));
  blocks.insert(words(philox(1, RandomStream::kTest, 2, 4)));
  blocks.insert(words(philox(1, RandomStream::kTest, 2, 3 + (1ull << 32))));
  EXPECT_EQ(blocks.size(), 7u);
}

TEST(PhiloxTest, UniformFloatIsAtLeastZeroAndBelowOne) {
  EXPECT_EQ(uniform_float(0), 0.0f);
  EXPECT_EQ(uniform_float(0xff), 0.0f);  // the lower eight bits are not used
  EXPECT_EQ(uniform_float(0x100), 0x1.0p-24f);
  EXPECT_EQ(uniform_float(0x80000000u), 0.5f);
  EXPECT_EQ(uniform_float(0xffffffffu), 1.0f - 0x1.0p-24f);
}

TEST(PhiloxTest, UniformBelowStaysBelow) {
  EXPECT_EQ(uniform_below(0, 9), 0u);
  EXPECT_EQ(uniform_below(0xffffffffu, 9), 8u);
  EXPECT_EQ(uniform_below(0xffffffffu, 1), 0u);
  EXPECT_EQ(uniform_below(0x80000000u, 2), 1u);
  EXPECT_EQ(uniform_below(0x7fffffffu, 2), 0u);
  EXPECT_EQ(uniform_below(0xffffffffu, 0xffffffffu), 0xfffffffeu);
}

TEST(PhiloxTest, ASequenceIsTheWordsOfItsBlocks) {
  PhiloxSequence sequence(7, RandomStream::kTest, 5);
  for (std::uint64_t i = 0; i < 11; ++i) {
    EXPECT_EQ(sequence.next(), philox(7, RandomStream::kTest, 5, i / 4).word[i % 4]) << i;
  }
  EXPECT_EQ(sequence.uniform(), uniform_float(philox(7, RandomStream::kTest, 5, 2).word[3]));
  EXPECT_EQ(sequence.below(100), uniform_below(philox(7, RandomStream::kTest, 5, 3).word[0], 100));
}

TEST(PhiloxTest, NumbersAreUniform) {
  constexpr int kDraws = 100'000;
  PhiloxSequence sequence(7, RandomStream::kTest, 6);
  double sum = 0;
  std::vector<int> counts(9);
  for (int i = 0; i < kDraws; ++i) {
    sum += static_cast<double>(sequence.uniform());
    ++counts[sequence.below(9)];
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));  // five standard deviations
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 9.0, 5 * std::sqrt(kDraws / 9.0));
}

}  // namespace
}  // namespace gradamp::test
