// SPDX-License-Identifier: MIT
// Calls that break CUDA's rules on purpose. The stand-in must detect them. Those of class GpuRules hold on a GPU too,
// where the same program runs.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/tensor_map.h"
#include "gradamp/tests/kernels/cuda/stand_in/rules/rule_kernels.h"

namespace gradamp::stand_in_rules {
namespace {

class GpuRules : public ::testing::Test {
 protected:
  static constexpr std::size_t kValues = 1 << 17;

  void SetUp() override {
    ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&out_), kValues * sizeof(float)), cudaSuccess);
  }
  void TearDown() override {
    cudaFree(out_);
    cudaGetLastError();
  }
  float* out_ = nullptr;
};

/// The default limit includes static memory.
TEST_F(GpuRules, StaticAndDynamicSharedMemoryCountTogether) {
  const std::size_t dynamic = 48 << 10;
  EXPECT_EQ(launch(RuleKernel::kStaticShared, 1, 128, dynamic - 512, out_), cudaSuccess);
  EXPECT_EQ(launch(RuleKernel::kStaticShared, 1, 128, dynamic, out_), cudaErrorInvalidValue);
  const void* const kernel = function_of(RuleKernel::kStaticShared);
  ASSERT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(dynamic)),
            cudaSuccess);
  EXPECT_EQ(launch(RuleKernel::kStaticShared, 1, 128, dynamic, out_), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(GpuRules, NoMoreSharedMemoryThanTheDeviceHas) {
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  const int all = static_cast<int>(properties.sharedMemPerBlockOptin);
  const void* const kernel = function_of(RuleKernel::kStaticShared);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, all), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, all - 512), cudaSuccess);
}

TEST_F(GpuRules, NoMoreThreadsThanTheKernelsBounds) {
  EXPECT_EQ(launch(RuleKernel::kBounded, 1, 128, 0, out_), cudaSuccess);
  EXPECT_NE(launch(RuleKernel::kBounded, 1, 129, 0, out_), cudaSuccess);
}

TEST_F(GpuRules, NoMoreRegistersThanABlockHas) {
  cudaFuncAttributes attributes{};
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, function_of(RuleKernel::kRegisters)), cudaSuccess);
  ASSERT_GT(attributes.numRegs, 64) << "the kernel was made to have more";
  EXPECT_EQ(launch(RuleKernel::kRegisters, 1, 256, 0, out_), cudaSuccess);
  EXPECT_EQ(launch(RuleKernel::kRegisters, 1, 1024, 0, out_), cudaErrorLaunchOutOfResources);
}

TEST_F(GpuRules, GridsAndBlocksHaveLimits) {
  EXPECT_EQ(launch(RuleKernel::kStore, 0, 1, 0, out_), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(RuleKernel::kStore, 1, 1025, 0, out_), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(RuleKernel::kStore, {1, 65536, 1}, 1, 0, out_), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(RuleKernel::kStore, 1, {1, 1, 65}, 0, out_), cudaErrorInvalidConfiguration);
}

TEST_F(GpuRules, OnlyKernelsAreLaunched) {
  static const int no_kernel = 0;
  void* arguments[] = {&out_};
  EXPECT_EQ(cudaLaunchKernel(&no_kernel, 1, 1, arguments, 0, nullptr), cudaErrorInvalidDeviceFunction);
}

class GpuCaptures : public GpuRules {
 protected:
  void SetUp() override {
    GpuRules::SetUp();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(launch(RuleKernel::kStore, 1, 1, 0, out_, stream_), cudaSuccess);  // loads the kernel
    ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), cudaSuccess);
  }
  void TearDown() override {
    if (graph_) cudaGraphDestroy(graph_);
    cudaStreamDestroy(stream_);
    GpuRules::TearDown();
  }
  /// Ends the capture, which a forbidden call must have invalidated.
  void expect_spoiled() {
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph_, nullptr);
  }
  cudaStream_t stream_ = nullptr;
  cudaGraph_t graph_ = nullptr;
};

TEST_F(GpuCaptures, MayNotWait) {
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  expect_spoiled();
}

TEST_F(GpuCaptures, MayNotCopyFromPageableMemory) {
  std::vector<float> values(4);
  EXPECT_NE(cudaMemcpyAsync(out_, values.data(), 16, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  expect_spoiled();
}

/// The driver's functions, which only some kernels need, are missing.
TEST(StandInDriver, HasNoTensorMaps) {
  const int dims[] = {64, 64};
  try {
    cuda::tiled_map(nullptr, 2, dims, dims);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("the NVIDIA driver does not have cuTensorMapEncodeTiled"), 0u)
        << error.what();
  }
  EXPECT_THROW(cuda::im2col_map(nullptr, {}), Error);
}

/// No manual documents a GPU's behavior here: the stand-in is strict.
class StandInRules : public GpuCaptures {};

TEST_F(StandInRules, ACaptureMayNotFree) {
  float* other = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&other), 256), cudaSuccess);
  EXPECT_NE(cudaFree(other), cudaSuccess);
  expect_spoiled();
}

TEST_F(StandInRules, MemoryOfAGraphIsNotFreed) {
  float* other = nullptr;
  EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&other), 256), cudaSuccess);
  ASSERT_EQ(launch(RuleKernel::kStore, 1, 1, 0, other, stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph_, 0), cudaSuccess);
  EXPECT_THROW(cudaFree(other), std::exception);
  ASSERT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
  graph_ = nullptr;
  EXPECT_EQ(cudaFree(other), cudaSuccess);
}

TEST_F(StandInRules, HostCodeCannotReadTheDevicesMemory) {
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
  const int key = pkey_alloc(0, 0);
  if (key < 0) {  // a skip would fail this program; RuntimeTest.HostCodeCannotTouchTheDevicesMemory is skipped then
    std::puts("this processor has no protection keys: nothing to test");
    return;
  }
  pkey_free(key);
  EXPECT_DEATH(std::printf("%f", static_cast<double>(*out_)), "host code");
}

TEST_F(StandInRules, AChildProcessCannotUseTheDevice) {
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
  const pid_t child = fork();
  if (child == 0) {
    int device = 0;
    _exit(cudaGetDevice(&device) == cudaErrorInitializationError ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

/// The last test, since nothing works after it.
TEST_F(StandInRules, ZAKernelThatFailsLosesTheDevice) {
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
  float* other = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&other), 256), cudaSuccess);
  ASSERT_EQ(cudaFree(other), cudaSuccess);
  const auto use_after_free = [&] {
    const cudaError_t launched = launch(RuleKernel::kStore, 1, 1, 0, other, stream_);
    const cudaError_t waited = cudaStreamSynchronize(stream_);  // deferred work fails here
    return launched != cudaSuccess || waited != cudaSuccess;
  };
  EXPECT_THROW(use_after_free(), std::exception);
  EXPECT_NE(cudaMalloc(reinterpret_cast<void**>(&other), 256), cudaSuccess);
  EXPECT_NE(cudaGetLastError(), cudaSuccess);
  EXPECT_NE(cudaGetLastError(), cudaSuccess) << "a kernel's failure is not forgotten";
}

/// Constructed before everything else, and so destroyed after the device code was unloaded.
struct LastCaller {
  ~LastCaller() {
    int device = 0;
    std::printf("last call: %d\n", static_cast<int>(cudaGetDevice(&device)));
  }
};
[[gnu::init_priority(101)]] LastCaller last_caller;

}  // namespace
}  // namespace gradamp::stand_in_rules
