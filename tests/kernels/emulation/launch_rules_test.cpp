// SPDX-License-Identifier: MIT
// Which launches CUDA refuses, by the numbers of NVIDIA's guide, and that the emulator follows these rules.
#include "gradamp/kernels/emulation/launch_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/emulation/kernel_table.h"
#include "gradamp/tests/kernels/emulation/emulation_support.h"

namespace gradamp::emulation {
namespace {

using emulated::threadIdx;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t kKiB = 1024;

// ---- the rules ----

emulated::cudaError_t error_for(const KernelFacts& kernel, const LaunchShape& shape, const DeviceLimits& limits = {}) {
  const auto refused = refusal(limits, kernel, shape);
  if (!refused) return emulated::cudaSuccess;
  EXPECT_THAT(refused->reason, Not(IsEmpty()));
  return refused->error;
}

TEST(LaunchRulesTest, Grid) {
  EXPECT_EQ(error_for({}, {{2147483647, 1, 1}, 1}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({}, {{2147483648, 1, 1}, 1}), emulated::cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_for({}, {{1, 65535, 65535}, 1}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({}, {{1, 65536, 1}, 1}), emulated::cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_for({}, {{1, 1, 65536}, 1}), emulated::cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_for({}, {{1, 0, 1}, 1}), emulated::cudaErrorInvalidConfiguration);
}

TEST(LaunchRulesTest, Block) {
  EXPECT_EQ(error_for({}, {1, {1024, 1, 1}}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({}, {1, {1025, 1, 1}}), emulated::cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_for({}, {1, {1, 1024, 1}}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({}, {1, {32, 33, 1}}), emulated::cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_for({}, {1, {1, 1, 64}}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({}, {1, {1, 1, 65}}), emulated::cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_for({}, {1, {1, 0, 1}}), emulated::cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_for({}, {1, {65536, 65536, 1}}), emulated::cudaErrorInvalidConfiguration);
}

TEST(LaunchRulesTest, LaunchBounds) {
  const KernelFacts kernel{.max_threads = 128};
  EXPECT_EQ(error_for(kernel, {1, {32, 4, 1}}), emulated::cudaSuccess);
  EXPECT_EQ(error_for(kernel, {1, {129, 1, 1}}), emulated::cudaErrorInvalidValue);
}

TEST(LaunchRulesTest, Registers) {
  EXPECT_EQ(error_for({.registers = 64}, {1, 1024}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({.registers = 65}, {1, 1024}), emulated::cudaErrorLaunchOutOfResources);
  EXPECT_EQ(error_for({.registers = 255}, {1, 256}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({.registers = 255}, {1, 257}), emulated::cudaErrorLaunchOutOfResources);
  // A warp's registers are allocated in units of 256: 8 per thread. 28 warps of 73, counted as 80, are too many.
  EXPECT_EQ(error_for({.registers = 72}, {1, 28 * 32}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({.registers = 73}, {1, 28 * 32}), emulated::cudaErrorLaunchOutOfResources);
}

// Static and dynamic memory count together.
TEST(LaunchRulesTest, SharedMemoryThatNobodyAskedFor) {
  EXPECT_EQ(error_for({}, {1, 32, 48 * kKiB}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({}, {1, 32, 48 * kKiB + 1}), emulated::cudaErrorInvalidValue);
  EXPECT_EQ(error_for({.static_shared = 512}, {1, 32, 48 * kKiB - 512}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({.static_shared = 512}, {1, 32, 48 * kKiB}), emulated::cudaErrorInvalidValue);
  EXPECT_EQ(error_for({.static_shared = 48 * kKiB}, {1, 32}), emulated::cudaSuccess);
  EXPECT_EQ(error_for({.static_shared = 48 * kKiB + 4}, {1, 32}), emulated::cudaErrorInvalidValue);
}

TEST(LaunchRulesTest, SharedMemoryThatWasAskedFor) {
  const KernelFacts kernel{.static_shared = 512, .allowed_dynamic = 64 * kKiB};
  EXPECT_EQ(error_for(kernel, {1, 32, 64 * kKiB}), emulated::cudaSuccess);
  EXPECT_EQ(error_for(kernel, {1, 32, 64 * kKiB + 1}), emulated::cudaErrorInvalidValue);
  // The requested size is the limit, even if it is smaller than the default limit.
  EXPECT_EQ(error_for({.allowed_dynamic = 16 * kKiB}, {1, 32, 16 * kKiB + 1}), emulated::cudaErrorInvalidValue);
}

TEST(LaunchRulesTest, SharedMemoryThatMayBeAskedFor) {
  const KernelFacts kernel{.static_shared = 512};
  const auto error = [&](std::size_t bytes, const DeviceLimits& limits = {}) {
    const auto refused = allowance_refusal(limits, kernel, static_cast<int>(bytes));
    return refused ? refused->error : emulated::cudaSuccess;
  };
  EXPECT_EQ(error(227 * kKiB - 512), emulated::cudaSuccess);
  EXPECT_EQ(error(227 * kKiB - 511), emulated::cudaErrorInvalidValue);
  EXPECT_EQ(error(std::size_t(-1)), emulated::cudaErrorInvalidValue);
  EXPECT_EQ(error(99 * kKiB, {.shared_opt_in = 99 * kKiB}), emulated::cudaErrorInvalidValue);
}

TEST(LaunchRulesTest, ReasonsSayWhatWasAskedAndWhatIsAllowed) {
  EXPECT_THAT(refusal({}, {.static_shared = 512}, {1, 32, 49152})->reason,
              AllOf(HasSubstr("512 bytes of static and 49152 of dynamic"), HasSubstr("a block has 49152 in all")));
  EXPECT_THAT(refusal({}, {.registers = 65}, {1, 1024})->reason,
              AllOf(HasSubstr("1024 threads of 65 registers take 73728"), HasSubstr("a block has 65536")));
  EXPECT_THAT(refusal({}, {.max_threads = 64}, {1, {16, 5, 1}})->reason,
              AllOf(HasSubstr("(16,5,1) threads"), HasSubstr("__launch_bounds__ allows 64")));
}

// ---- the emulator follows them ----

class EmulatedLaunchTest : public EmulationTest {};

// 512 bytes of static memory. Each instance is a kernel that has not been launched before.
template <int kInstance>
__global__ void fresh_kernel(float* output) {
  SHARED(values, float[128]);
  DYNAMIC_SHARED(float, stages);
  values[threadIdx.x] = 1;
  stages[threadIdx.x] = 2;
  output[threadIdx.x] = values[threadIdx.x] + stages[threadIdx.x];
}

// A launch without a request for dynamic shared memory.
template <typename... P>
void launch_unasked(void (*kernel)(P...), const emulated::Launch& shape, P... arguments) {
  launch_kernel(kernel, {shape.grid, shape.block, shape.shared_bytes, {shape.file, shape.line}}, shape.stream,
                std::tuple<P...>(arguments...));
}

TEST_F(EmulatedLaunchTest, StaticAndDynamicSharedMemoryCountTogether) {
  const emulated::DeviceArray<float> output(std::size_t{128});
  const auto refused = [&](std::size_t bytes) {
    return error_of([&] { launch_unasked(fresh_kernel<0>, {1, 128, bytes}, output.data()); });
  };
  const auto expect_refused = [&] {
    EXPECT_THAT(refused(48 * kKiB), AllOf(ContainsRegex("launched at launch_rules_test.cpp:[0-9]+"),
                                          HasSubstr("512 bytes of static and 49152 of dynamic shared memory")));
  };
  expect_refused();  // found while a block runs
  EXPECT_THAT(refused(48 * kKiB - 512), IsEmpty());
  expect_refused();  // now the kernel's static memory is known in advance
  EXPECT_THAT(error_of([&] {
                launch_unasked(fresh_kernel<0>, {1, 128, 48 * kKiB}, output.data());
              }),
              Not(HasSubstr("SHARED(values)")));
}

TEST_F(EmulatedLaunchTest, LaunchAsksForTheMemoryThatItNeeds) {
  const emulated::DeviceArray<float> output(std::size_t{128});
  for (const std::size_t kib : {16, 48, 64, 32, 226}) {
    emulated::launch(fresh_kernel<1>, {1, 128, kib * kKiB}, output.data());
    EXPECT_EQ(output.host()[127], 3) << kib;
  }
  EXPECT_THAT(error_of([&] {
                emulated::launch(fresh_kernel<1>, {1, 128, 227 * kKiB}, output.data());
              }),
              HasSubstr("cudaFuncSetAttribute to 232448 bytes of dynamic shared memory"));
}

__global__ void __launch_bounds__(128) bounded_kernel(float* output) { output[threadIdx.x] = 1; }
struct SmallBlock {
  static constexpr int kThreads = 64;
};
template <typename Block>
__global__ void __launch_bounds__(Block::kThreads, 2) bounded_template(float* output) {
  output[threadIdx.x] = 1;
}
__global__ void unbounded_kernel(float* output) { output[threadIdx.x] = 1; }

TEST_F(EmulatedLaunchTest, LaunchBounds) {
#if !GRADAMP_KNOWS_LAUNCH_BOUNDS
  GTEST_SKIP() << "this compiler does not tell the emulator of __launch_bounds__";
#endif
  const emulated::DeviceArray<float> output(std::size_t{1024});
  const auto refused = [&](void (*kernel)(float*), unsigned threads) {
    return error_of([&] { emulated::launch(kernel, {1, threads}, output.data()); });
  };
  EXPECT_THAT(refused(bounded_kernel, 128), IsEmpty());
  EXPECT_THAT(refused(bounded_kernel, 129), HasSubstr("(129,1,1) threads; the kernel's __launch_bounds__ allows 128"));
  EXPECT_THAT(refused(bounded_template<SmallBlock>, 64), IsEmpty());
  EXPECT_THAT(refused(bounded_template<SmallBlock>, 65), HasSubstr("__launch_bounds__ allows 64"));
  EXPECT_THAT(refused(unbounded_kernel, 1024), IsEmpty());
  emulated::cudaFuncAttributes attributes{};
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&bounded_kernel)), emulated::cudaSuccess);
  EXPECT_EQ(attributes.maxThreadsPerBlock, 128);
}

TEST_F(EmulatedLaunchTest, AttributesOfAKernel) {
  const emulated::DeviceArray<float> output(std::size_t{128});
  const auto* kernel = reinterpret_cast<const void*>(&fresh_kernel<2>);
  const auto set = [&](int bytes) {
    return cudaFuncSetAttribute(kernel, emulated::cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  launch_unasked(fresh_kernel<2>, {1, 128, 512}, output.data());
  emulated::cudaFuncAttributes attributes{};
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, kernel), emulated::cudaSuccess);
  EXPECT_EQ(attributes.sharedSizeBytes, 512u);
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, (48 << 10) - 512);
  EXPECT_EQ(set(-1), emulated::cudaErrorInvalidValue);
  EXPECT_EQ(set(227 << 10), emulated::cudaErrorInvalidValue);
  EXPECT_EQ(emulated::cudaGetLastError(), emulated::cudaErrorInvalidValue);
  EXPECT_EQ(set(100 << 10), emulated::cudaSuccess);
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, kernel), emulated::cudaSuccess);
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 100 << 10);
  EXPECT_THAT(error_of([&] { launch_unasked(fresh_kernel<2>, {1, 128, 100 * kKiB}, output.data()); }), IsEmpty());
  EXPECT_THAT(error_of([&] {
                launch_unasked(fresh_kernel<2>, {1, 128, 101 * kKiB}, output.data());
              }),
              HasSubstr("cudaFuncSetAttribute asked for 102400"));
}

TEST_F(EmulatedLaunchTest, LimitsAreTheConfiguredDevices) {
  const emulated::DeviceArray<float> output(std::size_t{128});
  config().limits.shared_opt_in = 64 << 10;  // as for compute capability 7.5
  int bytes = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&bytes, emulated::cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
            emulated::cudaSuccess);
  EXPECT_EQ(bytes, 64 << 10);
  EXPECT_THAT(error_of([&] {
                emulated::launch(fresh_kernel<3>, {1, 128, 64 * kKiB + 512}, output.data());
              }),
              HasSubstr("66048 bytes of dynamic shared memory"));
}

}  // namespace
}  // namespace gradamp::emulation
