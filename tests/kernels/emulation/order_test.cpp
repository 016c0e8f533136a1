// SPDX-License-Identifier: MIT
// The order in which the emulator runs threads and blocks.
#include <algorithm>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/kernels/emulation/emulation_support.h"

namespace gradamp::emulated {
namespace {

using emulation::config;
using emulation::ThreadOrder;

// Records each thread's index, and once more after the barrier, in the order of arrival.
__global__ void record_threads(int* log, unsigned* count) {
  log[atomicAdd(count, 1u)] = static_cast<int>(threadIdx.x);
  __syncthreads();
  log[atomicAdd(count, 1u)] = static_cast<int>(threadIdx.x);
}

__global__ void record_blocks(int* log, unsigned* count) { log[atomicAdd(count, 1u)] = static_cast<int>(blockIdx.x); }

class OrderTest : public emulation::EmulationTest {
 protected:
  static constexpr int kThreads = 80;
  static constexpr int kBlocks = 40;

  OrderTest() { config().os_threads = 1; }

  template <typename Kernel>
  static std::vector<int> record(Kernel kernel, const Launch& shape, std::size_t entries) {
    const DeviceArray<int> log(entries);
    const DeviceArray<unsigned> count(std::vector<unsigned>{0});
    launch(kernel, shape, log.data(), count.data());
    return log.host();
  }
  static std::vector<int> threads(ThreadOrder order, std::uint64_t seed = 1) {
    config().thread_order = order;
    config().seed = seed;
    return record(record_threads, {1, kThreads}, 2 * kThreads);
  }
  static std::vector<int> blocks(ThreadOrder order, std::uint64_t seed = 1) {
    config().thread_order = order;
    config().seed = seed;
    return record(record_blocks, {kBlocks, 1}, kBlocks);
  }
  static std::vector<int> ascending(int count) {
    std::vector<int> numbers(static_cast<std::size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }
};

// Threads run to the barrier in order, and the last one to arrive continues first.
TEST_F(OrderTest, Threads) {
  const std::vector<int> forward = threads(ThreadOrder::kForward), reverse = threads(ThreadOrder::kReverse);
  const std::vector<int> up = ascending(kThreads), down(up.rbegin(), up.rend());
  EXPECT_TRUE(std::equal(up.begin(), up.end(), forward.begin()));
  EXPECT_TRUE(std::equal(down.begin(), down.end(), reverse.begin()));
  EXPECT_EQ(forward[kThreads], kThreads - 1);
  EXPECT_EQ(reverse[kThreads], 0);
}

TEST_F(OrderTest, ShuffledThreadsAllRunAndRepeatWithTheSeed) {
  const std::vector<int> first = threads(ThreadOrder::kShuffled, 1), second = threads(ThreadOrder::kShuffled, 2);
  for (const std::vector<int>& log : {first, second}) {
    EXPECT_TRUE(std::is_permutation(log.begin(), log.begin() + kThreads, ascending(kThreads).begin()));
    EXPECT_TRUE(std::is_permutation(log.begin() + kThreads, log.end(), ascending(kThreads).begin()));
    EXPECT_FALSE(std::is_sorted(log.begin(), log.begin() + kThreads));
  }
  EXPECT_NE(first, second);
  EXPECT_EQ(threads(ThreadOrder::kShuffled, 1), first);
}

TEST_F(OrderTest, Blocks) {
  const std::vector<int> up = ascending(kBlocks), down(up.rbegin(), up.rend());
  EXPECT_EQ(blocks(ThreadOrder::kForward), up);
  EXPECT_EQ(blocks(ThreadOrder::kReverse), down);
  const std::vector<int> shuffled = blocks(ThreadOrder::kShuffled);
  EXPECT_TRUE(std::is_permutation(shuffled.begin(), shuffled.end(), up.begin()));
  EXPECT_NE(shuffled, up);
  EXPECT_NE(blocks(ThreadOrder::kShuffled, 2), shuffled);
}

TEST_F(OrderTest, BlocksOnManyOsThreadsAllRun) {
  config().os_threads = 3;
  for (const int count : {1, 2, 100}) {
    std::vector<int> log = record(record_blocks, {dim3(count), 33}, static_cast<std::size_t>(count) * 33);
    std::sort(log.begin(), log.end());
    for (int i = 0; i < count * 33; ++i) ASSERT_EQ(log[static_cast<std::size_t>(i)], i / 33);
  }
}

}  // namespace
}  // namespace gradamp::emulated
