// SPDX-License-Identifier: MIT
#include "gradamp/core/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/core/thread_ranks.h"

namespace gradamp {
namespace {

TEST(Communicator, MovesBlocksTextsAndFlags) {
  for (const int size : {1, 2, 3, 8}) {
    test::ThreadRanks(size).run([&](Communicator& ranks) {
      std::vector<int> blocks(static_cast<std::size_t>(2 * size), -1);
      const int rank = ranks.rank();
      blocks[static_cast<std::size_t>(2 * rank)] = 2 * rank;
      blocks[static_cast<std::size_t>(2 * rank + 1)] = 2 * rank + 1;
      all_gather(ranks, std::as_writable_bytes(std::span(blocks)));
      std::vector<int> expected(blocks.size());
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(blocks, expected);
      EXPECT_EQ(ranks.bytes_sent(), 2 * 4 * (size - 1));

      std::vector<std::string> texts;  // of unlike sizes; that of rank 0 is empty
      for (int r = 0; r < size; ++r) texts.emplace_back(static_cast<std::size_t>(r), static_cast<char>('a' + r));
      EXPECT_EQ(all_gather_texts(ranks, texts[static_cast<std::size_t>(rank)]), texts);
      EXPECT_EQ(broadcast_text(ranks, rank == 0 ? "first" : "a longer text"), "first");
      EXPECT_FALSE(any_rank(ranks, false));
      EXPECT_TRUE(any_rank(ranks, rank == size - 1));
    });
  }
}

TEST(Communicator, RefusesBlocksOfUnlikeSizes) {
  EXPECT_EQ(test::error_of([] {
              test::ThreadRanks(2).run([](Communicator& ranks) {
                std::vector<std::byte> three(3);
                all_gather(ranks, three);
              });
            }),
            "expected bytes for 2 equal blocks, got 3");
}

}  // namespace
}  // namespace gradamp
