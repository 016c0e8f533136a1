// SPDX-License-Identifier: MIT
// The emulator's messages about wrong kernels. (For races without the race checker: the results differ.)
#include "gradamp/tests/kernels/emulation/wrong_kernels.h"

#include <cmath>
#include <functional>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/kernels/emulation/emulation_support.h"

namespace gradamp::emulation {
namespace {

using emulated::DeviceArray;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace wrong = emulated::wrong;

class WrongKernelsTest : public EmulationTest {
 protected:
  static std::vector<float> counted(std::size_t count) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 1.0f);
    return values;
  }

  // After every test the emulator must be able to run the next kernel.
  void TearDown() override {
    wrong::reverse(true, input_.data(), output_.data());
    const std::vector<float> values = output_.host();
    for (int i = 0; i < 256; ++i) ASSERT_EQ(values[i], static_cast<float>(256 - i));
  }

  const DeviceArray<float> input_{counted(768)};
  const DeviceArray<float> output_{std::size_t{256}};
  float* const output = output_.data();
};

// ---- barriers and warp operations ----

TEST_F(WrongKernelsTest, DifferentBarriers) {
  const std::string message = error_of([&] { wrong::two_barriers(output); });
  EXPECT_THAT(message, AllOf(ContainsRegex("kernel launched at wrong_kernels.cu:[0-9]+: block \\(0,0,0\\): thread"),
                             ContainsRegex("thread \\([0-9]+,0,0\\): came to __syncthreads at wrong_kernels.cu:[0-9]+"),
                             ContainsRegex("but thread \\(0,0,0\\) waits in the one at wrong_kernels.cu:[0-9]+")));
}

TEST_F(WrongKernelsTest, CollectiveAgainstBarrier) {
  const std::string message = error_of([&] { wrong::collective_against_barrier(output); });
  EXPECT_THAT(message, AllOf(HasSubstr("no thread can go on"),
                             ContainsRegex("threads 0 to 15 wait in __shfl_sync at wrong_kernels.cu:[0-9]+"),
                             ContainsRegex("threads 16 to 63 wait in __syncthreads at wrong_kernels.cu:[0-9]+")));
}

TEST_F(WrongKernelsTest, UnevenBarriers) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { wrong::uneven_barriers(output); }),
                AllOf(HasSubstr("returned"), HasSubstr("__syncthreads at wrong_kernels.cu")));
  });
  config().allow_early_exit = true;  // then the remaining threads are enough
  EXPECT_THAT(error_of([&] { wrong::uneven_barriers(output); }), IsEmpty());
}

TEST_F(WrongKernelsTest, EarlyReturn) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { wrong::early_return(output, 40); }), HasSubstr("__syncthreads at wrong_kernels.cu"));
    EXPECT_THAT(error_of([&] { wrong::early_return(output, 64); }), IsEmpty());
  });
  config().allow_early_exit = true;
  EXPECT_THAT(error_of([&] { wrong::early_return(output, 40); }), IsEmpty());
}

TEST_F(WrongKernelsTest, EarlyReturnOfLanes) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { wrong::early_return_of_lanes(output, 17); }),
                HasSubstr("__shfl_xor_sync at wrong_kernels.cu"));
    EXPECT_THAT(error_of([&] { wrong::early_return_of_lanes(output, 32); }), IsEmpty());
  });
  in_every_order([&] {
    config().allow_early_exit = true;
    EXPECT_THAT(error_of([&] { wrong::early_return_of_lanes(output, 17); }), IsEmpty());
    EXPECT_EQ(output_.host()[15], 1.0f);
    EXPECT_TRUE(std::isnan(output_.host()[16]));  // from a lane that has returned
  });
}

TEST_F(WrongKernelsTest, DivergedWarp) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { wrong::diverged_warp(output); }),
                AllOf(HasSubstr("__shfl_xor_sync at wrong_kernels.cu"), HasSubstr("a vote at wrong_kernels.cu")));
  });
}

TEST_F(WrongKernelsTest, Masks) {
  in_every_order([&] {
    EXPECT_THAT(
        error_of([&] { wrong::different_masks(output); }),
        AllOf(HasSubstr("__shfl_xor_sync at wrong_kernels.cu"), HasSubstr("0x0001ffff"), HasSubstr("0xffffffff")));
    EXPECT_THAT(error_of([&] { wrong::lane_outside_its_mask(output); }),
                HasSubstr("is not in its own mask 0x0000ffff"));
  });
}

TEST_F(WrongKernelsTest, Mma) {
  in_every_order([&] {
    EXPECT_THAT(
        error_of([&] { wrong::diverged_mma(output); }),
        ContainsRegex("mma \\(bf16\\) at wrong_kernels.cu:[0-9]+ .* mma \\(bf16\\) at wrong_kernels.cu:[0-9]+"));
    EXPECT_THAT(error_of([&] { wrong::mma_of_half_a_warp(output); }), HasSubstr("mma needs all 32 lanes"));
  });
}

// ---- memory ----

// An access for which AddressSanitizer ends the program; without it, an Error.
void expect_overrun(const std::function<void()>& action, const std::string& message) {
  if (!kAddressSanitizer) {
    EXPECT_THAT(error_of(action), HasSubstr(message));
    return;
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the default warns if there are threads
  EXPECT_DEATH(action(), "AddressSanitizer");
}

TEST_F(WrongKernelsTest, OutOfStaticShared) {
  EXPECT_THAT(error_of([&] { wrong::out_of_static_shared(output, 0); }), IsEmpty());
  for (const int shift : {1, 16})
    expect_overrun([&] { wrong::out_of_static_shared(output, shift); },
                   "something was written just past the end of SHARED(first) at wrong_kernels.cu:");
  expect_overrun([&] { wrong::out_of_static_shared(output, 40000); }, "outside the SHARED arrays");
  expect_overrun([&] { wrong::out_of_static_shared(output, -1000); }, "outside the SHARED arrays");
}

TEST_F(WrongKernelsTest, OutOfDynamicShared) {
  EXPECT_THAT(error_of([&] { wrong::out_of_dynamic_shared(output, 0); }), IsEmpty());
  expect_overrun([&] { wrong::out_of_dynamic_shared(output, 1); },
                 "access to 0 bytes past the end of the 128 bytes of dynamic shared memory, at wrong_kernels.cu");
  expect_overrun([&] { wrong::out_of_dynamic_shared(output, 5000); }, "19872 bytes past the end of the 128 bytes");
  expect_overrun([&] { wrong::out_of_dynamic_shared(output, -1); }, "just before the dynamic shared memory");
}

TEST_F(WrongKernelsTest, OutOfGlobal) {
  EXPECT_THAT(error_of([&] { wrong::out_of_global(output, 256 - 32); }), IsEmpty());
  expect_overrun([&] { wrong::out_of_global(output, 256 - 31); },
                 "thread (31,0,0): access to 0 bytes past the end of an allocation of 1024, at wrong_kernels.cu");
  expect_overrun([&] { wrong::read_out_of_global(input_.data(), output, 768); },
                 "past the end of an allocation of 3072");
  expect_overrun([&] { wrong::out_of_global(output, -1); }, "just before an allocation of 1024 bytes");
}

TEST_F(WrongKernelsTest, OutOfGlobalOfOddSize) {
  const DeviceArray<float> odd(33);
  EXPECT_THAT(error_of([&] { wrong::out_of_global(odd.data(), 1); }), IsEmpty());
  expect_overrun([&] { wrong::out_of_global(odd.data(), 2); }, "just past the end of an allocation of 132 bytes");
  // A read is detected if it is beyond the last 16 bytes that contain a part of the allocation.
  expect_overrun([&] { wrong::read_out_of_global(odd.data(), output, 36); },
                 "access to 12 bytes past the end of an allocation of 132");
}

TEST_F(WrongKernelsTest, Misaligned) {
  EXPECT_THAT(error_of([&] { wrong::misaligned_load(input_.data(), output, 4); }), IsEmpty());
  EXPECT_THAT(error_of([&] { wrong::misaligned_load(input_.data(), output, 3); }),
              ContainsRegex("thread \\(0,0,0\\): access of 16 bytes at wrong_kernels.cu:[0-9]+: .* is not a multiple"));
  EXPECT_THAT(error_of([&] { wrong::misaligned_ldmatrix(output, 0); }), IsEmpty());
  EXPECT_THAT(error_of([&] { wrong::misaligned_ldmatrix(output, 2); }),
              ContainsRegex("thread \\(3,0,0\\): access of 16 bytes at wrong_kernels.cu:[0-9]+"));
  EXPECT_THAT(error_of([&] { wrong::misaligned_async_copy(input_.data(), output, 4); }), IsEmpty());
  EXPECT_THAT(error_of([&] { wrong::misaligned_async_copy(input_.data(), output, 1); }),
              ContainsRegex("access of 16 bytes at wrong_kernels.cu:[0-9]+"));
}

TEST_F(WrongKernelsTest, AsyncCopyToGlobal) {
  EXPECT_THAT(error_of([&] { wrong::async_copy_to_global(input_.data(), output); }),
              ContainsRegex("cp.async at wrong_kernels.cu:[0-9]+: the target is not in shared memory"));
}

TEST_F(WrongKernelsTest, TooMuchStaticShared) {
  EXPECT_THAT(
      error_of([&] { wrong::too_much_static_shared(output); }),
      ContainsRegex("SHARED\\(one_more\\) at wrong_kernels.cu:[0-9]+: 49156 bytes of static .* may have 49152"));
}

TEST_F(WrongKernelsTest, StackOverflow) {
  config().stack_bytes = 64 << 10;
  expect_overrun([&] { wrong::too_deep_stack(output, 10); }, "memory below its stack of 65536 bytes");
  config().stack_bytes = 1 << 20;
  EXPECT_THAT(error_of([&] { wrong::too_deep_stack(output, 10); }), IsEmpty());
}

TEST_F(WrongKernelsTest, PointersThatAreNotTheDevices) {
  std::vector<float> host(256);
  EXPECT_THAT(error_of([&] { wrong::null_pointer(host.data()); }),
              ContainsRegex("kernel launched at wrong_kernels.cu:[0-9]+: argument 1 is 0x.* not in memory"));
  float* freed = nullptr;
  ASSERT_EQ(emulated::cudaMalloc(&freed, 1024), emulated::cudaSuccess);
  ASSERT_EQ(emulated::cudaFree(freed), emulated::cudaSuccess);
  EXPECT_THAT(error_of([&] { wrong::null_pointer(freed); }), HasSubstr("argument 1"));
  if (kAddressSanitizer) return;  // it ends the program
  EXPECT_THAT(error_of([&] { wrong::null_pointer(nullptr); }), HasSubstr("which is not the device's memory"));
}

TEST_F(WrongKernelsTest, UnwrittenSharedMemoryIsNaN) {
  wrong::unwritten_shared(output);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(output_.host()[i]), i % 2 == 0) << i;
  wrong::out_of_dynamic_shared(output, 0);  // fills the memory with ones
  wrong::unwritten_dynamic_shared(output);
  for (int i = 0; i < 32; ++i) EXPECT_TRUE(std::isnan(output_.host()[i])) << i;
}

TEST_F(WrongKernelsTest, AsyncCopyThatNobodyWaitedForIsNaN) {
  wrong::async_copy(true, input_.data(), output);
  for (int i = 0; i < 128; ++i) ASSERT_EQ(output_.host()[i], static_cast<float>(128 - i));
  wrong::async_copy(false, input_.data(), output);
  for (int i = 0; i < 128; ++i) ASSERT_TRUE(std::isnan(output_.host()[i])) << i;
}

// They would read memory that has been freed since.
TEST_F(WrongKernelsTest, CopiesOfThreadsThatEndedAreForgotten) {
  for (const bool fails : {false, true}) {
    {
      const DeviceArray<float> passing(counted(128));
      if (fails)
        EXPECT_THAT(error_of([&] { wrong::failure_amid_copies(passing.data(), output); }), HasSubstr("__syncthreads"));
      else
        wrong::async_copy(false, passing.data(), output);
    }
    EXPECT_THAT(error_of([&] { wrong::async_copy(true, input_.data(), output); }), IsEmpty()) << fails;
  }
}

TEST_F(WrongKernelsTest, LaunchesThatCudaRefuses) {
  const auto refused = [&](const emulated::Launch& shape) {
    return error_of([&] {
      emulated::launch(
          +[](float*) {}, shape, output);
    });
  };
  EXPECT_THAT(refused({1, 1024}), IsEmpty());
  EXPECT_THAT(refused({1, 1025}), ContainsRegex("wrong_kernels_test.cpp:[0-9]+: the block is \\(1025,1,1\\) threads"));
  EXPECT_THAT(refused({1, {32, 33}}), HasSubstr("the block is (32,33,1)"));
  EXPECT_THAT(refused({1, {1, 1, 65}}), HasSubstr("the block is (1,1,65)"));
  EXPECT_THAT(refused({1, 0}), HasSubstr("the block is (0,1,1)"));
  EXPECT_THAT(refused({0, 32}), HasSubstr("the grid is (0,1,1)"));
  EXPECT_THAT(refused({{1, 65536}, 32}), HasSubstr("the grid is (1,65536,1)"));
  EXPECT_THAT(refused({{1, 1, 65536}, 32}), HasSubstr("the grid is (1,1,65536)"));
  EXPECT_THAT(refused({1, 32, 227 << 10}), IsEmpty());
  EXPECT_THAT(refused({1, 32, (227 << 10) + 1}), HasSubstr("232449 bytes of dynamic shared memory"));
}

TEST_F(WrongKernelsTest, ExceptionsOfKernelsArrive) {
  EXPECT_THAT(error_of([&] {
                emulated::launch(
                    +[](float*) { throw std::runtime_error("thrown in a kernel"); }, {1, 32}, output);
              }),
              HasSubstr("thread (0,0,0): thrown in a kernel"));
}

// ---- races that show in some order; the race checker finds others, too ----

using RacyKernel = void (*)(bool synchronized, const float* input, float* output);

struct Race {
  const char* name;
  RacyKernel run;
};

class RaceTest : public EmulationTest, public ::testing::WithParamInterface<Race> {};

TEST_P(RaceTest, ShowsInSomeOrder) {
  std::vector<float> values(768);
  std::iota(values.begin(), values.end(), 1.0f);
  const DeviceArray<float> input(values), output(256);
  const auto results = [&](bool synchronized) {
    std::vector<std::vector<float>> in_each_order;
    in_every_order([&] {
      GetParam().run(synchronized, input.data(), output.data());
      in_each_order.push_back(output.host());
    });
    return in_each_order;
  };
  const std::vector<std::vector<float>> right = results(true), wrong = results(false);
  for (const std::vector<float>& result : right) EXPECT_EQ(result, right[0]);
  bool differs = false;
  for (const std::vector<float>& result : wrong) differs = differs || result != right[0];
  EXPECT_TRUE(differs);
}

INSTANTIATE_TEST_SUITE_P(, RaceTest,
                         ::testing::Values(Race{"reverse", &wrong::reverse}, Race{"shift", &wrong::shift},
                                           Race{"reverse_warps", &wrong::reverse_warps}, Race{"refill", &wrong::refill},
                                           Race{"refill_async", &wrong::refill_async}),
                         [](const auto& race) { return std::string(race.param.name); });

}  // namespace
}  // namespace gradamp::emulation
