// SPDX-License-Identifier: MIT
// The emulator's messages about wrong uses of Hopper's instructions. The body of each wrong kernel is a lambda.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/cuda/tensor_map.h"
#include "gradamp/tests/kernels/emulation/emulation_support.h"
#include "gradamp/tests/kernels/emulation/hopper_placement.h"

namespace gradamp::emulated {
namespace {

using emulation::error_of;
using emulation::in_every_order;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kTileBytes = 64 * 64 * 2;
constexpr std::size_t kSharedBytes = 4 * kTileBytes;  // three tiles, then mbarriers

std::uint64_t* barrier_of(char* shared) { return reinterpret_cast<std::uint64_t*>(shared + 3 * kTileBytes); }

/// 32 lanes, or one of them: what comes before a correct load.
void init_barrier(char* shared, std::uint32_t arrivals = 1) {
  if (threadIdx.x == 0) {
    mbarrier_init(barrier_of(shared), arrivals);
    fence_mbarrier_init();
  }
  __syncthreads();
}

/// `body`: the address of a Body on the host. (For GCC 12 some lambdas cannot be copied as bytes.)
template <typename Body>
__global__ void body_kernel(const __grid_constant__ TensorMap map, std::uintptr_t body) {
  DYNAMIC_SHARED_1024(char, shared);
  (*reinterpret_cast<const Body*>(body))(shared, map);
}

/// The error of a block of `threads` that run body(shared, map); "" if there is none.
template <typename Body>
std::string error_in(unsigned threads, const TensorMap& map, const Body& body) {
  return error_of([&] {
    launch(body_kernel<Body>, {1, threads, kSharedBytes}, map, reinterpret_cast<std::uintptr_t>(&body));
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  });
}
template <typename Body>
std::string error_in(unsigned threads, const Body& body) {
  return error_in(threads, TensorMap{}, [&](char* shared, const TensorMap&) { body(shared); });
}

// ---- mbarriers ----

TEST(HopperMistakes, Mbarriers) {
  EXPECT_THAT(
      error_in(32, [](char* shared) { mbarrier_arrive(barrier_of(shared)); }),
      ContainsRegex("mbarrier.arrive at hopper_mistakes_test.cpp:[0-9]+: there is no mbarrier: it was not init"));
  EXPECT_THAT(error_in(1,
                       [](char* shared) {
                         init_barrier(shared);
                         *barrier_of(shared) = 0;
                         mbarrier_wait(barrier_of(shared), 0);
                       }),
              ContainsRegex("mbarrier.try_wait at .*: there is no mbarrier: .*, or was overwritten"));
  EXPECT_THAT(error_in(1, [](char* shared) { mbarrier_init(reinterpret_cast<std::uint64_t*>(shared + 4), 1); }),
              HasSubstr("access of 8 bytes"));
  EXPECT_THAT(error_in(1,
                       [](char*) {
                         std::uint64_t barrier = 0;
                         mbarrier_init(&barrier, 1);
                       }),
              ContainsRegex("mbarrier.init at .*: the mbarrier is not in shared memory"));
  EXPECT_THAT(error_in(2, [](char* shared) { mbarrier_init(barrier_of(shared), 1); }),
              ContainsRegex("mbarrier.init at .*: it was initialized at hopper_mistakes_test.cpp:[0-9]+"));
  for (const unsigned arrivals : {0u, 1u << 20})
    EXPECT_THAT(error_in(1, [=](char* shared) { mbarrier_init(barrier_of(shared), arrivals); }),
                HasSubstr(": " + std::to_string(arrivals) + " arrivals"));
}

TEST(HopperMistakes, MbarrierPhases) {
  EXPECT_THAT(error_in(1,
                       [](char* shared) {
                         init_barrier(shared);
                         mbarrier_arrive_expect(barrier_of(shared), 16);
                         mbarrier_arrive(barrier_of(shared));
                       }),
              ContainsRegex("mbarrier.arrive at .*: the phase has all its 1 arrivals, and waits for 16 bytes"));
  EXPECT_THAT(error_in(1,
                       [](char* shared) {
                         init_barrier(shared, 3);
                         mbarrier_arrive_expect(barrier_of(shared), (1u << 20) - 16);
                         mbarrier_arrive_expect(barrier_of(shared), 16);
                       }),
              ContainsRegex("expect_tx at .*: 1048576 bytes in a phase, more than"));
  // Thread 0 does not wait for the threads that wait for its arrivals. (Warps 1 and 2 wait before it runs.)
  EXPECT_THAT(error_in(96,
                       [](char* shared) {
                         init_barrier(shared);
                         if (threadIdx.x < 64) named_barrier(1, 64);
                         if (threadIdx.x == 0) {
                           mbarrier_arrive(barrier_of(shared));
                           mbarrier_arrive(barrier_of(shared));
                         } else if (threadIdx.x >= 32) {
                           mbarrier_wait(barrier_of(shared), 0);
                         }
                       }),
              ContainsRegex("mbarrier.try_wait at .*: the phase was completed, and the next one too"));
  EXPECT_THAT(error_in(32,
                       [](char* shared) {
                         init_barrier(shared, 2);
                         if (threadIdx.x == 0) mbarrier_arrive_expect(barrier_of(shared), 48);
                         mbarrier_wait(barrier_of(shared), 0);
                       }),
              AllOf(ContainsRegex("no thread can go on; threads 0 to 31 wait in mbarrier.try_wait at"),
                    ContainsRegex("the mbarrier initialized at .* lacks 1 of 2 arrivals and 48 bytes")));
}

TEST(HopperMistakes, NamedBarriers) {
  const auto error = [](int id, int threads) { return error_in(64, [=](char*) { named_barrier(id, threads); }); };
  EXPECT_THAT(error(1, 64), IsEmpty());
  for (const auto& [id, threads] : {std::pair{0, 64}, {16, 64}, {1, 0}, {1, 48}, {1, 96}})
    EXPECT_THAT(error(id, threads), ContainsRegex("barrier.cta at hopper_mistakes_test.cpp:[0-9]+: barrier " +
                                                  std::to_string(id) + " for " + std::to_string(threads)));
  EXPECT_THAT(error_in(96, [](char*) { named_barrier(1, threadIdx.x < 32 ? 64 : 96); }),
              ContainsRegex("came to barrier.cta 1 for 96 threads at .*, but thread .0,0,0. waits in the one for 64"));
  const auto at_two_lines = [](char*) {  // (all of a macro's arguments are at one line)
    if (threadIdx.x < 32)
      named_barrier(1, 64);
    else
      named_barrier(1, 64);
  };
  EXPECT_THAT(error_in(64, at_two_lines),
              ContainsRegex("came to barrier.cta 1 for 64 threads at .*, but .* waits in the one for 64 at"));
  EXPECT_THAT(error_in(64,
                       [](char*) {
                         if (threadIdx.x < 32) named_barrier(2, 64);
                       }),
              ContainsRegex("threads 0 to 31 wait in barrier.cta at .*; threads 32 to 63 returned"));
  EXPECT_THAT(error_in(64, [](char*) { named_barrier(2, 64); }), IsEmpty());  // nobody is left from before
  EXPECT_THAT(error_in(32,
                       [](char*) {
                         if (threadIdx.x != 3) elect_lane();
                       }),
              HasSubstr("elect.sync"));
}

// ---- tensor loads ----

class HopperLoads : public ::testing::Test {
 protected:
  static TensorMap map_of(const DeviceArray<bf16>& array, int rank = 2) {
    const int dims[] = {64, 256, 1, 1}, box[] = {64, 64, 1, 1};
    return tiled_map(array.data(), rank, dims, box);
  }
  static TensorMap im2col_of(const DeviceArray<bf16>& array) {
    return im2col_map(array.data(), {.batch = 4,
                                     .height = 8,
                                     .width = 8,
                                     .channels = 64,
                                     .stride = 1,
                                     .lower_h = -1,
                                     .lower_w = -1,
                                     .upper_h = 0,
                                     .upper_w = 0,
                                     .pixels = 64});
  }
  /// The error of one thread that loads a tile to shared + offset and waits for it.
  static std::string error_of_load(const TensorMap& map, std::size_t offset) {
    return error_in(1, map, [=](char* shared, const TensorMap& the_map) {
      init_barrier(shared);
      mbarrier_arrive_expect(barrier_of(shared), kTileBytes);
      load_box_2d(shared + offset, &the_map, barrier_of(shared), 0, 0);
      mbarrier_wait(barrier_of(shared), 0);
    });
  }

  const DeviceArray<bf16> tensor_{256 * 64};
  const TensorMap map_ = map_of(tensor_);
};

TEST_F(HopperLoads, NeedTheirMap) {
  EXPECT_THAT(error_of_load(map_, kTileBytes), IsEmpty());
  EXPECT_THAT(error_of_load({}, 0),
              ContainsRegex("tensor load at hopper_mistakes_test.cpp:[0-9]+: the tensor map was not encoded"));
  EXPECT_THAT(error_of_load(im2col_of(tensor_), 0), HasSubstr("the tensor map is for im2col loads"));
  EXPECT_THAT(error_of_load(map_of(tensor_, 3), 0), HasSubstr("the tensor map has 3 dimensions, the instruction 2"));
  TensorMap freed;
  {
    const DeviceArray<bf16> other(256 * 64);
    freed = map_of(other);
  }
  EXPECT_THAT(error_of_load(freed, 0), ContainsRegex("the tensor of 32768 bytes at .* is not in memory"));
  const DeviceArray<bf16> small(255 * 64);
  EXPECT_THAT(error_of_load(map_of(small), 0), HasSubstr("is not in memory that cudaMalloc gave"));
}

TEST_F(HopperLoads, BeginInTheBoundingBox) {
  const auto error = [&](int w, int h) {
    return error_in(1, im2col_of(tensor_), [=](char* shared, const TensorMap& map) {
      init_barrier(shared);
      mbarrier_arrive_expect(barrier_of(shared), kTileBytes);
      load_im2col(shared, &map, barrier_of(shared), 0, w, h, 0, 0, 0);
      mbarrier_wait(barrier_of(shared), 0);
    });
  };
  EXPECT_THAT(error(-1, 7), IsEmpty());
  EXPECT_THAT(error(-2, 0), HasSubstr("the first pixel has the coordinate -2 in dimension 1, outside the bounding box "
                                      "from -1 to 7"));
  EXPECT_THAT(error(0, 8), HasSubstr("the first pixel has the coordinate 8 in dimension 2"));
  EXPECT_THAT(error_in(1, map_,
                       [](char* shared, const TensorMap& map) {
                         init_barrier(shared);
                         load_im2col(shared, &map, barrier_of(shared), 0, 0, 0, 0, 0, 0);
                       }),
              HasSubstr("the tensor map is for tiled loads"));
}

TEST_F(HopperLoads, NeedTheirTarget) {
  EXPECT_THAT(error_of_load(map_, 128),
              ContainsRegex("the target is at 0x480 of shared memory, expected a multiple of"));
  EXPECT_THAT(error_of_load(map_, 3 * kTileBytes + 1024), HasSubstr("it writes past the end of the dynamic shared"));
  EXPECT_THAT(error_of_load(map_, kSharedBytes), HasSubstr("is not in the dynamic shared memory"));
  EXPECT_THAT(error_of_load(map_, std::size_t{0} - 1024), HasSubstr("is not in the dynamic shared memory"));
  EXPECT_THAT(error_in(1, map_,
                       [](char* shared, const TensorMap& map) {
                         init_barrier(shared);
                         load_box_2d(shared, &map, barrier_of(shared), 0, 0);
                         load_box_2d(shared, &map, barrier_of(shared), 0, 64);
                       }),
              ContainsRegex("the load at hopper_mistakes_test.cpp:[0-9]+ to the same memory has not arrived"));
}

// A kernel that asks for no more than 128 gets no more.
__global__ void unaligned_kernel(const __grid_constant__ TensorMap map) {
  DYNAMIC_SHARED(char, shared);
  init_barrier(shared);
  mbarrier_arrive_expect(barrier_of(shared), kTileBytes);
  load_box_2d(shared, &map, barrier_of(shared), 0, 0);
  mbarrier_wait(barrier_of(shared), 0);
}

TEST_F(HopperLoads, NeedAlignedSharedMemory) {
  EXPECT_THAT(error_of([&] {
                launch(unaligned_kernel, {1, 1, kSharedBytes}, map_);
              }),
              HasSubstr("of shared memory, expected a multiple of 1024"));
}

TEST_F(HopperLoads, NeedTheirBarrier) {
  const auto load = [](char* shared, const TensorMap& map) {
    mbarrier_arrive_expect(barrier_of(shared), kTileBytes);
    load_box_2d(shared, &map, barrier_of(shared), 0, 0);
    mbarrier_wait(barrier_of(shared), 0);
  };
  EXPECT_THAT(
      error_in(1, map_,
               [=](char* shared, const TensorMap& map) {
                 mbarrier_init(barrier_of(shared), 1);
                 load(shared, map);
               }),
      ContainsRegex("tensor load at .*: the mbarrier was initialized at hopper_mistakes_test.cpp:[0-9]+ without a "
                    "fence.mbarrier_init"));
  // Another thread's fence does not help.
  EXPECT_THAT(error_in(64, map_,
                       [=](char* shared, const TensorMap& map) {
                         if (threadIdx.x == 0) mbarrier_init(barrier_of(shared), 1);
                         __syncthreads();
                         fence_mbarrier_init();
                         if (threadIdx.x == 0) fence_proxy_async();
                         __syncthreads();
                         if (threadIdx.x == 32) load(shared, map);
                       }),
              IsEmpty());
  EXPECT_THAT(error_in(64, map_,
                       [=](char* shared, const TensorMap& map) {
                         if (threadIdx.x == 0) mbarrier_init(barrier_of(shared), 1);
                         __syncthreads();
                         if (threadIdx.x == 32) fence_mbarrier_init();
                         if (threadIdx.x == 32) load(shared, map);
                       }),
              HasSubstr("without a fence.mbarrier_init"));
  EXPECT_THAT(error_in(1, map_,
                       [](char* shared, const TensorMap& map) {
                         init_barrier(shared);
                         mbarrier_arrive_expect(barrier_of(shared), kTileBytes + 16);
                         load_box_2d(shared, &map, barrier_of(shared), 0, 0);
                         mbarrier_wait(barrier_of(shared), 0);
                       }),
              HasSubstr("lacks 0 of 1 arrivals and 16 bytes"));
  EXPECT_THAT(error_in(1, map_,
                       [](char* shared, const TensorMap& map) {
                         init_barrier(shared);
                         mbarrier_arrive_expect(barrier_of(shared), kTileBytes);
                         load_box_2d(shared, &map, barrier_of(shared), 0, 0);
                       }),
              ContainsRegex("block .0,0,0.: the tensor load at .* had not arrived when the block ended"));
}

TEST_F(HopperLoads, ArriveLate) {
  const DeviceArray<float> seen(2);
  const std::vector<bf16> ones(256 * 64, __float2bfloat16(1));
  const DeviceArray<bf16> tensor(ones);
  float* const out = seen.data();
  EXPECT_THAT(error_in(1, map_of(tensor),
                       [=](char* shared, const TensorMap& map) {
                         init_barrier(shared);
                         const auto* const first = reinterpret_cast<const bf16*>(shared);
                         mbarrier_arrive_expect(barrier_of(shared), kTileBytes);
                         load_box_2d(shared, &map, barrier_of(shared), 0, 0);
                         out[0] = __bfloat162float(*first);
                         mbarrier_wait(barrier_of(shared), 0);
                         out[1] = __bfloat162float(*first);
                       }),
              IsEmpty());
  EXPECT_TRUE(std::isnan(seen.host()[0]));
  EXPECT_EQ(seen.host()[1], 1);
}

// The consumer gives its slot back before it has read it.
TEST_F(HopperLoads, EarlyReleaseIsSeen) {
  const std::vector<bf16> zeros(256 * 64, __float2bfloat16(0));
  const DeviceArray<bf16> tensor(zeros);
  const DeviceArray<float> sums(4);
  float* const out = sums.data();
  const auto run = [&](bool early) {
    EXPECT_THAT(error_in(64, map_of(tensor),
                         [=](char* shared, const TensorMap& map) {
                           std::uint64_t *const full = barrier_of(shared), *const empty = full + 1;
                           if (threadIdx.x == 0) mbarrier_init(empty, 1);
                           init_barrier(shared);
                           for (unsigned round = 0; round < 4; ++round) {
                             if (threadIdx.x == 32) {
                               mbarrier_wait(empty, round % 2 ^ 1);
                               mbarrier_arrive_expect(full, kTileBytes);
                               load_box_2d(shared, &map, full, 0, static_cast<int>(round) * 64);
                             }
                             if (threadIdx.x != 0) continue;
                             mbarrier_wait(full, round % 2);
                             if (early) mbarrier_arrive(empty);
                             out[round] = __bfloat162float(*reinterpret_cast<const bf16*>(shared));
                             if (!early) mbarrier_arrive(empty);
                           }
                         }),
                IsEmpty());
    return sums.host();
  };
  in_every_order([&] {
    EXPECT_EQ(run(false), std::vector<float>(4));
    EXPECT_THAT(run(true), ::testing::Contains(::testing::IsNan()));
  });
}

// ---- wgmma ----

struct Product {
  char* shared;
  float sums[8][4] = {};
  std::uint64_t a = 0, b = 0;
  bool accumulate = true;

  /// The operands (all ones) of a product with n = 64, ready for it.
  explicit Product(char* memory, bool proxy_fence = true) : shared(memory) {
    for (unsigned i = threadIdx.x; i < 2 * 64 * 64; i += blockDim.x)
      reinterpret_cast<bf16*>(shared)[i] = __float2bfloat16(1);
    if (proxy_fence) fence_proxy_async();
    __syncthreads();
    a = operand_descriptor(shared, kTileBytes);
    b = operand_descriptor(shared + kTileBytes, kTileBytes);
  }
  void issue() { wgmma_bf16<64, false, false>(sums, a, b, accumulate); }
  void finish() {
    wgmma_commit();
    wgmma_wait<0>();
  }
};

TEST(HopperMistakes, WgmmaFencesAndWaits) {
  const DeviceArray<float> seen(2);
  float* const out = seen.data();
  EXPECT_THAT(error_in(128,
                       [=](char* shared) {
                         Product product(shared);
                         wgmma_fence();
                         product.issue();
                         if (threadIdx.x == 0) out[0] = product.sums[0][0];
                         product.finish();
                         if (threadIdx.x == 0) out[1] = product.sums[0][0];
                         product.issue();  // registers that nothing has changed need no other fence
                         product.finish();
                       }),
              IsEmpty());
  EXPECT_TRUE(std::isnan(seen.host()[0]));
  EXPECT_EQ(seen.host()[1], 16);
  EXPECT_THAT(error_in(128,
                       [](char* shared) {
                         Product product(shared);
                         product.issue();
                       }),
              ContainsRegex("wgmma at hopper_mistakes_test.cpp:[0-9]+: other instructions wrote to the accumulators"));
  EXPECT_THAT(error_in(128,
                       [](char* shared) {
                         Product product(shared);
                         wgmma_fence();
                         product.issue();
                         product.finish();
                         product.sums[3][2] *= 2;
                         product.issue();
                       }),
              HasSubstr("there was no wgmma.fence after that"));
  for (const bool commit : {false, true})
    EXPECT_THAT(error_in(128,
                         [=](char* shared) {
                           Product product(shared);
                           wgmma_fence();
                           product.issue();
                           if (commit)
                             wgmma_commit();
                           else
                             wgmma_wait<0>();
                         }),
                ContainsRegex("block .0,0,0.: the wgmma at .* was pending when the block ended"));
}

TEST(HopperMistakes, WgmmaNeedsTheAsyncProxysView) {
  EXPECT_THAT(
      error_in(128,
               [](char* shared) {
                 Product product(shared, false);
                 wgmma_fence();
                 product.issue();
                 product.finish();
               }),
      ContainsRegex("wgmma at .*: ordinary stores wrote to an operand, at 0x[0-9a-f]+ of shared memory: before it "
                    "without a fence.proxy.async"));
  EXPECT_THAT(error_in(128,
                       [](char* shared) {
                         Product product(shared);
                         wgmma_fence();
                         product.issue();
                         reinterpret_cast<bf16*>(shared)[threadIdx.x * 64] = __float2bfloat16(2);
                         product.finish();
                       }),
              HasSubstr("or before the wgmma.wait_group"));
}

/// The error of a warpgroup's product that `change` changed.
template <typename Change>
std::string error_of_product(const Change& change) {
  return error_in(128, [=](char* shared) {
    Product product(shared);
    wgmma_fence();
    change(product);
    product.issue();
    product.finish();
  });
}

TEST(HopperMistakes, WgmmaIsOneInstructionOfAWarpgroup) {
  EXPECT_THAT(error_of_product([](Product&) {}), IsEmpty());
  const auto lanes = HasSubstr("lanes 0 and 5 have different operands");
  EXPECT_THAT(error_of_product([](Product& product) { product.a += threadIdx.x == 5 ? 2 : 0; }), lanes);
  EXPECT_THAT(error_of_product([](Product& product) { product.b += threadIdx.x == 5 ? 2 : 0; }), lanes);
  EXPECT_THAT(error_of_product([](Product& product) { product.accumulate = threadIdx.x != 5; }), lanes);
  const auto warps = ContainsRegex("another warp of the warpgroup issued one with other operands at");
  EXPECT_THAT(error_of_product([](Product& product) { product.a += threadIdx.x / 32 * 2; }), warps);
  EXPECT_THAT(error_of_product([](Product& product) { product.b += threadIdx.x / 32 * 2; }), warps);
  EXPECT_THAT(error_of_product([](Product& product) { product.accumulate = threadIdx.x < 96; }), warps);
  EXPECT_THAT(error_in(32,
                       [](char* shared) {
                         Product product(shared);
                         wgmma_fence();
                         product.issue();
                         product.finish();
                       }),
              ContainsRegex("threads 0 to 31 wait in wgmma.wait_group, for the other warps of the warpgroup, at"));
  EXPECT_THAT(error_in(128,
                       [](char* shared) {
                         Product product(shared);
                         if (threadIdx.x >= 96) return;
                         wgmma_fence();
                         product.issue();
                         product.finish();
                       }),
              ContainsRegex("threads 0 to 95 wait in wgmma.wait_group.*; threads 96 to 127 returned"));
}

TEST(HopperMistakes, WgmmaOperands) {
  EXPECT_THAT(error_of_product([](Product& product) { product.a &= ~(std::uint64_t{3} << 62); }),
              ContainsRegex("the descriptor 0x[0-9a-f]+: its swizzle is not one of 128 bytes"));
  EXPECT_THAT(error_of_product([](Product& product) { product.a |= std::uint64_t{1} << 49; }),
              HasSubstr("it has a base offset"));
  EXPECT_THAT(
      error_of_product([](Product& product) { product.b += (2 * kTileBytes + 1024) / 16; }),
      ContainsRegex("operand b is at 0x[0-9a-f]+ to 0x[0-9a-f]+ of shared memory; the dynamic part is 0x400 to"));
  EXPECT_THAT(error_of_product([](Product& product) { product.a &= ~std::uint64_t{0x3FFF}; }),
              HasSubstr("operand a is at 0x0 to"));
  EXPECT_THAT(error_in(128,
                       [](char* shared) {
                         const Product product(shared);
                         float sums[33][4] = {};
                         wgmma_bf16<264, false, false>(sums, product.a, product.b, false);
                       }),
              HasSubstr("n is 264, expected a multiple of 8 up to 256"));
  EXPECT_THAT(error_in(128,
                       [](char* shared) {
                         const Product product(shared);
                         float sums[8][4] = {};
                         wgmma_fence();
                         wgmma_bf16<64, false, false>(sums, product.a, product.b, false);
                         emulation::wgmma({&sums[0][0], product.a, product.b, 32, false, false, false}, {});
                       }),
              HasSubstr("a pending one with another n has the same accumulators"));
}

// A product reads its operands until the wait.
TEST_F(HopperLoads, AndWgmma) {
  const auto error = [&](bool wait, bool load_first) {
    return error_in(128, map_, [=](char* shared, const TensorMap& map) {
      init_barrier(shared);
      Product product(shared);
      const auto load = [&] {
        if (threadIdx.x != 0) return;
        mbarrier_arrive_expect(barrier_of(shared), kTileBytes);
        load_box_2d(shared + kTileBytes, &map, barrier_of(shared), 0, 0);
      };
      if (load_first) {
        load();
        __syncthreads();
        if (wait) mbarrier_wait(barrier_of(shared), 0);
      }
      wgmma_fence();
      product.issue();
      wgmma_commit();
      if (wait) wgmma_wait<0>();
      __syncthreads();
      if (!load_first) load();
      wgmma_wait<0>();
      mbarrier_wait(barrier_of(shared), 0);
    });
  };
  EXPECT_THAT(error(true, false), IsEmpty());
  EXPECT_THAT(error(true, true), IsEmpty());
  EXPECT_THAT(error(false, false),
              ContainsRegex("tensor load at .*: it overwrites what the wgmma at .* reads, for which "
                            "there was no wgmma.wait_group"));
  EXPECT_THAT(error(false, true), ContainsRegex("wgmma at .*: the tensor load at .* to operand b has not arrived"));
}

// ---- tensor maps ----

TEST(HopperMistakes, TiledMaps) {
  const auto error = [](auto change) {
    struct {
      int rank = 2;
      std::uintptr_t base = 0;
      std::uint64_t dims[6] = {64, 64, 64, 64, 64, 64}, strides[6] = {128, 128, 128, 128, 128, 128};
      std::uint32_t box[6] = {64, 64, 64, 64, 64, 64}, steps[6] = {1, 1, 1, 1, 1, 1};
    } map;
    change(map);
    return error_of([&] {
      emulation::encode_tiled(map.rank, reinterpret_cast<const void*>(map.base), map.dims, map.strides, map.box,
                              map.steps);
    });
  };
  EXPECT_THAT(error([](auto&) {}), IsEmpty());
  EXPECT_THAT(error([](auto& map) { map.rank = 0; }), HasSubstr("rank 0"));
  EXPECT_THAT(error([](auto& map) { map.rank = 6; }), HasSubstr("rank 6"));
  EXPECT_THAT(error([](auto& map) { map.base = 8; }), HasSubstr("is not a multiple of 16"));
  EXPECT_THAT(error([](auto& map) { map.dims[1] = 0; }), HasSubstr("dimension 1 has the extent 0"));
  EXPECT_THAT(error([](auto& map) { map.dims[1] = (std::uint64_t{1} << 32) + 1; }), HasSubstr("has the extent"));
  EXPECT_THAT(error([](auto& map) { map.strides[0] = 136; }), HasSubstr("dimension 1 has a stride of 136 bytes"));
  EXPECT_THAT(error([](auto& map) { map.strides[0] = std::uint64_t{1} << 40; }), HasSubstr("below 2^40"));
  EXPECT_THAT(error([](auto& map) { map.steps[1] = 9; }), HasSubstr("dimension 1 has an element stride of 9"));
  EXPECT_THAT(error([](auto& map) { map.box[1] = 257; }), HasSubstr("the box has 257 elements along dimension 1"));
  EXPECT_THAT(error([](auto& map) { map.box[1] = 0; }), HasSubstr("the box has 0 elements along dimension 1"));
  EXPECT_THAT(error([](auto& map) { map.box[0] = 32; }), HasSubstr("the box has 64 bytes along dimension 0"));
}

TEST(HopperMistakes, Im2colMaps) {
  const auto error = [](auto change) {
    struct {
      int rank = 4;
      std::uint64_t dims[6] = {64, 8, 8, 4, 4, 4}, strides[6] = {128, 1024, 8192, 8192, 8192};
      int lower[3] = {-1, -1, -1}, upper[3] = {};
      std::uint32_t channels = 64, pixels = 64, steps[6] = {1, 1, 1, 1, 1, 1};
    } map;
    change(map);
    return error_of([&] {
      emulation::encode_im2col(map.rank, nullptr, map.dims, map.strides, map.lower, map.upper, map.channels, map.pixels,
                               map.steps);
    });
  };
  EXPECT_THAT(error([](auto&) {}), IsEmpty());
  EXPECT_THAT(error([](auto& map) { map.rank = 2; }), HasSubstr("rank 2"));
  EXPECT_THAT(error([](auto& map) { map.rank = 6; }), HasSubstr("rank 6"));
  EXPECT_THAT(error([](auto& map) { map.strides[1] = 8; }),
              HasSubstr("cuTensorMapEncodeIm2col: dimension 2 has a stride"));
  EXPECT_THAT(error([](auto& map) { map.lower[0] = -129; }),
              HasSubstr("a corner's offset is -129, expected -128 to 127"));
  EXPECT_THAT(error([](auto& map) { map.upper[1] = 128; }), HasSubstr("a corner's offset is 128"));
  EXPECT_THAT(error([](auto& map) {
                map.rank = 3;
                map.lower[0] = -129;
              }),
              IsEmpty());
  EXPECT_THAT(error([](auto& map) {
                map.rank = 5;
                map.lower[2] = -17;
              }),
              HasSubstr("expected -16 to 15"));
  EXPECT_THAT(error([](auto& map) { map.upper[1] = -9; }), HasSubstr("the bounding box is empty along dimension 2"));
  EXPECT_THAT(error([](auto& map) { map.pixels = 1025; }), HasSubstr("1025 pixels per column"));
  EXPECT_THAT(error([](auto& map) { map.pixels = 0; }), HasSubstr("0 pixels per column"));
  EXPECT_THAT(error([](auto& map) { map.channels = 128; }), HasSubstr("the box has 256 bytes along dimension 0"));
}

TEST(HopperMistakes, MapsOfTheBackend) {
  const int dims[] = {64, 64, 1, 1, 1};
  for (const int rank : {1, 5})
    EXPECT_THAT(error_of([&] { tiled_map(nullptr, rank, dims, dims); }), HasSubstr("tiled_map: rank"));
}

}  // namespace
}  // namespace gradamp::emulated
