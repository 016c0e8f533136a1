// SPDX-License-Identifier: MIT
// CUDA's device intrinsics, compared with the CUDA C++ Programming Guide. Plain CUDA: tests that pass under the
// emulator should pass on a GPU.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/kernels/emulation/device_array.h"
#include "gradamp/tests/kernels/emulation/every_order.h"
#include "gradamp/tests/kernels/emulation/intrinsics_kernels.h"

namespace gradamp::GRADAMP_GPU {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

TEST(ThreadPositions, AreCountedFromX) {
  const dim3 grid(3, 2, 2), block(5, 4, 2);
  in_every_order([&] {
    DeviceArray<ThreadPosition> positions(12 * 40);
    run_thread_positions(grid, block, positions.data());
    int number = 0;
    for (const ThreadPosition& position : positions.host()) {
      const int thread = number % 40, in_grid = number / 40;
      EXPECT_THAT(position.thread, ElementsAre(thread % 5, thread / 5 % 4, thread / 20));
      EXPECT_THAT(position.block, ElementsAre(in_grid % 3, in_grid / 3 % 2, in_grid / 6));
      EXPECT_THAT(position.block_size, ElementsAre(5, 4, 2));
      EXPECT_THAT(position.grid_size, ElementsAre(3, 2, 2));
      ++number;
    }
  });
}

TEST(Barrier, LetsAllThreadsSeeWhatAllWrote) {
  for (const int threads : {1, 2, 31, 32, 33, 96, 250, 1024}) {
    SCOPED_TRACE(threads);
    in_every_order([&] {
      DeviceArray<int> output(threads);
      run_mirror(threads, 3, output.data());
      std::vector<int> expected(threads);
      for (int i = 0; i < threads; ++i) expected[i] = 3 * (threads - 1 - i);
      EXPECT_EQ(output.host(), expected);
    });
  }
}

TEST(Barrier, CountsVotes) {
  constexpr int kThreads = 70;
  const std::vector<int> limits = {0, 1, 69, 70, 32, 0, 70};
  const int rounds = static_cast<int>(limits.size());
  in_every_order([&] {
    const DeviceArray<int> device_limits(limits);
    DeviceArray<int> counts(rounds * kThreads), ors(rounds * kThreads), ands(rounds * kThreads);
    run_block_votes(kThreads, rounds, device_limits.data(), counts.data(), ors.data(), ands.data());
    const std::vector<int> count = counts.host(), any = ors.host(), all = ands.host();
    for (int i = 0; i < rounds * kThreads; ++i) {
      const int limit = limits[i / kThreads];
      ASSERT_EQ(count[i], limit) << i;
      ASSERT_EQ(any[i], limit > 0) << i;
      ASSERT_EQ(all[i], limit == kThreads) << i;
    }
  });
}

// The lane whose value lane `lane` gets, or itself, by the rules of the guide's "Warp Shuffle Functions".
int shuffle_source(ShuffleWord word, int lane, int argument, int width) {
  const int group = lane / width * width, within = lane % width;
  switch (word) {
    case ShuffleWord::kIndex:  // "srcLane modulo width", in the lane's own group
      return group + (argument % width + width) % width;
    case ShuffleWord::kXor: {  // lanes of earlier groups may be read, lanes of later ones not
      const int source = lane ^ argument;
      return source < group + width ? source : lane;
    }
    case ShuffleWord::kUp:  // "the source lane index will not wrap around the value of width"
      return within - argument < 0 ? lane : lane - argument;
    case ShuffleWord::kDown: return within + argument >= width ? lane : lane + argument;
  }
  return -1;
}

template <typename T>
void expect_shuffles() {
  DeviceArray<T> output(32);
  for (const ShuffleWord word : {ShuffleWord::kIndex, ShuffleWord::kXor, ShuffleWord::kUp, ShuffleWord::kDown}) {
    for (int width = 1; width <= 32; width *= 2) {
      for (const int argument : {0, 1, 2, 3, 5, 8, 16, 17, 31}) {
        run_shuffle(word, argument, width, output.data());
        std::vector<T> expected(32);
        for (int lane = 0; lane < 32; ++lane)
          expected[lane] = static_cast<T>(100 + shuffle_source(word, lane, argument, width));
        ASSERT_EQ(output.host(), expected)
            << "word " << static_cast<int>(word) << ", width " << width << ", argument " << argument;
      }
    }
  }
}

TEST(Shuffle, MovesAllTypes) {
  in_every_order([] {
    expect_shuffles<int>();
    expect_shuffles<float>();
    expect_shuffles<double>();
    expect_shuffles<long long>();
  });
}

TEST(Shuffle, TwoMasksAtOnce) {
  in_every_order([] {
    DeviceArray<int> output(32);
    run_half_shuffles(output.data());
    std::vector<int> expected(32, 31);
    std::fill_n(expected.begin(), 16, 120);  // 0 + ... + 15
    EXPECT_EQ(output.host(), expected);
  });
}

TEST(Vote, BallotAnyAll) {
  in_every_order([] {
    for (const std::uint32_t predicates : {0u, 1u, 0x80000000u, 0x12345678u, 0xFFFFFFFEu, 0xFFFFFFFFu}) {
      DeviceArray<std::uint32_t> ballots(32);
      DeviceArray<int> anys(32), alls(32);
      run_votes(predicates, ballots.data(), anys.data(), alls.data());
      EXPECT_THAT(ballots.host(), Each(predicates));
      EXPECT_THAT(anys.host(), Each(predicates != 0));
      EXPECT_THAT(alls.host(), Each(predicates == 0xFFFFFFFFu));
    }
  });
}

TEST(Vote, OnlyOfTheMask) {
  in_every_order([] {
    DeviceArray<std::uint32_t> ballots(32);
    run_masked_ballots(ballots.data());
    std::vector<std::uint32_t> expected(32, 0x55555400u);
    std::fill_n(expected.begin(), 10, 0x00000155u);
    EXPECT_EQ(ballots.host(), expected);
  });
}

TEST(Warp, BarrierOrdersSharedMemory) {
  in_every_order([] {
    DeviceArray<int> output(32);
    run_warp_scan(output.data());
    std::vector<int> expected(32);
    for (int lane = 0; lane < 32; ++lane) expected[lane] = lane * (lane + 1) / 2;
    EXPECT_EQ(output.host(), expected);
  });
}

TEST(Atomics, AddUpOverAllThreads) {
  in_every_order([] {
    DeviceArray<AtomicResults> device_results(1);
    AtomicResults start{};
    start.and_unsigned = 0xFFFFFFFFu;
    start.exchange_unsigned = 1000;
    device_results.assign({start});
    DeviceArray<unsigned> old_add(256), old_exchange(256);
    run_atomics(device_results.data(), old_add.data(), old_exchange.data());
    const AtomicResults result = device_results.host()[0];
    EXPECT_EQ(result.add_int, -255 * 256 / 2);
    EXPECT_EQ(result.sub_int, -255 * 256 / 2);
    EXPECT_EQ(result.min_int, 100 - 255);
    EXPECT_EQ(result.max_int, 255 - 100);
    EXPECT_EQ(result.add_unsigned, 256u);
    EXPECT_EQ(result.or_unsigned, 255u);
    EXPECT_EQ(result.and_unsigned, 0xFFFFFF00u);
    EXPECT_EQ(result.xor_unsigned, 0u);          // each bit eight times
    EXPECT_EQ(result.inc_unsigned, 256u % 100);  // 99 is followed by 0
    EXPECT_EQ(result.cas_unsigned, 3u * 256);
    EXPECT_EQ(result.add_long, 256ull << 32);
    EXPECT_EQ(result.max_long, 255ull << 40);
    EXPECT_EQ(result.add_float, 128.0f);
    EXPECT_EQ(result.add_double, 64.0);

    std::vector<unsigned> seen = old_add.host(), numbers(256);
    std::iota(numbers.begin(), numbers.end(), 0u);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, numbers);

    // Each value that was put in was taken out once, except the last; the initial one was taken out too.
    seen = old_exchange.host();
    seen.push_back(result.exchange_unsigned);
    numbers.push_back(1000);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, numbers);
  });
}

TEST(Atomics, LastBlockSeesAllOthers) {
  in_every_order([] {
    constexpr int kBlocks = 7;
    DeviceArray<int> partial(kBlocks * 64), output(1);
    DeviceArray<unsigned> counter(std::vector<unsigned>{0});
    for (int repeat = 0; repeat < 2; ++repeat) {  // atomicInc resets the counter
      run_last_block_sum(kBlocks, partial.data(), counter.data(), output.data());
      EXPECT_EQ(output.host()[0], kBlocks * 64 * (kBlocks * 64 - 1) / 2);
    }
  });
}

TEST(Vectors, HaveCudasSizesAndAlignments) {
  const auto expect = [](std::size_t size, std::size_t alignment, std::size_t expected_size,
                         std::size_t expected_alignment) {
    EXPECT_EQ(size, expected_size);
    EXPECT_EQ(alignment, expected_alignment);
  };
  // "Built-in Vector Types" of the guide.
  expect(sizeof(uchar4), alignof(uchar4), 4, 4);
  expect(sizeof(int2), alignof(int2), 8, 8);
  expect(sizeof(int4), alignof(int4), 16, 16);
  expect(sizeof(uint2), alignof(uint2), 8, 8);
  expect(sizeof(uint3), alignof(uint3), 12, 4);
  expect(sizeof(uint4), alignof(uint4), 16, 16);
  expect(sizeof(float2), alignof(float2), 8, 8);
  expect(sizeof(float3), alignof(float3), 12, 4);
  expect(sizeof(float4), alignof(float4), 16, 16);
  expect(sizeof(double2), alignof(double2), 16, 16);
  expect(sizeof(dim3), alignof(dim3), 12, 4);
  expect(sizeof(bf16), alignof(bf16), 2, 2);
  expect(sizeof(__nv_bfloat162), alignof(__nv_bfloat162), 4, 4);
  EXPECT_TRUE(std::is_trivially_copyable_v<bf16>);
  const float4 made = make_float4(1, 2, 3, 4);
  EXPECT_EQ(made.x + 10 * made.y + 100 * made.z + 1000 * made.w, 4321);
  const uchar4 bytes = make_uchar4(1, 2, 3, 255);
  EXPECT_EQ(bytes.x + bytes.y + bytes.z + bytes.w, 261);
}

TEST(Vectors, CopyAtEveryWidth) {
  std::vector<std::byte> values(16 * 77);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::byte>(i * 7);
  const DeviceArray<std::byte> source(values);
  for (const int width : {4, 8, 16}) {
    for (const bool streaming : {false, true}) {
      DeviceArray<std::byte> target(values.size());
      run_vector_copy(width, streaming, source.data(), target.data(), static_cast<int>(values.size()));
      EXPECT_TRUE(target.host() == values) << width << (streaming ? " streaming" : "");
    }
  }
}

MathResults math(float value, float other, int bits) {
  DeviceArray<MathResults> result(1);
  run_math(value, other, bits, result.data());
  return result.host()[0];
}

TEST(Math, Integers) {
  const MathResults result = math(1, 1, 0x00F01200);
  EXPECT_EQ(result.popc, 6);
  EXPECT_EQ(result.clz, 8);
  EXPECT_EQ(result.ffs, 10);
  EXPECT_EQ(result.mulhi, 0x00F01200LL * 12345 >> 32);
  EXPECT_EQ(result.umulhi, 0x00F01200ULL * 12345 >> 32);
  EXPECT_EQ(result.smaller_int, 7);
  EXPECT_EQ(result.larger_int, 0x00F01200);
  const MathResults none = math(1, 1, 0);
  EXPECT_EQ(none.popc, 0);
  EXPECT_EQ(none.clz, 32);
  EXPECT_EQ(none.ffs, 0);
  const MathResults negative = math(1, 1, -5);
  EXPECT_EQ(negative.clz, 0);
  EXPECT_EQ(negative.mulhi, -1);  // floor of -61725 / 2^32
  EXPECT_EQ(negative.umulhi, static_cast<unsigned>((4294967291ULL * 12345) >> 32));
}

TEST(Math, FloatingPoint) {
  const MathResults result = math(-2.25f, 3, 0);
  float bits;
  std::memcpy(&bits, &result.float_bits, sizeof bits);
  EXPECT_EQ(bits, -2.25f);
  EXPECT_EQ(result.back_from_bits, -2.25f);
  EXPECT_NEAR(result.rsqrt, 2.0 / 3, 1e-6);
  EXPECT_NEAR(result.exp_fast, std::exp(-2.25), 1e-6);
  EXPECT_EQ(result.fma, -9.0f);
  EXPECT_EQ(result.reciprocal, 1 / -2.25f);
  EXPECT_EQ(result.product, -6.75f);
  EXPECT_EQ(result.smaller, -2.25f);
  EXPECT_EQ(result.larger, 3.0f);
  EXPECT_TRUE(result.is_finite);
  EXPECT_FALSE(result.is_nan);
  for (const float value : {-100.0f, -9.5f, -2.25f, -0.125f, 0.0f, 0.375f, 1.5f, 8.75f, 80.0f, 100.0f}) {
    const MathResults at_value = math(value, 1, 0);
    EXPECT_FLOAT_EQ(at_value.exp, static_cast<float>(std::exp(double{value}))) << value;
    EXPECT_FLOAT_EQ(at_value.erfc, static_cast<float>(std::erfc(double{value}))) << value;
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(math(nan, 3, 0).exp));
  EXPECT_TRUE(std::isnan(math(nan, 3, 0).erfc));
  EXPECT_EQ(math(nan, 3, 0).smaller, 3.0f);  // of a NaN and a number the number
  EXPECT_EQ(math(nan, 3, 0).larger, 3.0f);
  EXPECT_TRUE(math(nan, 3, 0).is_nan);
  EXPECT_FALSE(math(nan, 3, 0).is_finite);
  EXPECT_FALSE(math(std::numeric_limits<float>::infinity(), 3, 0).is_finite);
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
