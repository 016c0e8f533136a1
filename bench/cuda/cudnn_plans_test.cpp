// SPDX-License-Identifier: MIT
// cuDNN proposes plans for every convolution of the benchmarks. It does so for a GPU's properties, so this test needs
// no GPU. convolution_bench verifies the plans' results on a GPU.
#include <string>

#include <gtest/gtest.h>

#include "gradamp/bench/cuda/cudnn_library.h"
#include "gradamp/bench/cuda/cudnn_plans.h"
#include "gradamp/core/error.h"

namespace gradamp::bench {
namespace {

#if CUDNN_VERSION >= 90800

/// The properties of an H100, under the names that cuDNN 9.19 expects.
constexpr const char* kProperties = R"({"deviceName": "NVIDIA H100 80GB HBM3", "deviceVer": 900, "driverVer": 13000,
  "driverVersion": 13000, "cudaDeviceId": 0, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
  "multiProcessorCount": 132, "warpSize": 32, "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "regsPerBlock": 65536,
  "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024, "smClockRateKHz": 1980000, "memClockRateKHz": 2619000,
  "l2CacheSize": 52428800, "globalMemoryBusWidth": 5120, "totalGlobalMem": 85520809984})";

class CudnnPlansTest : public ::testing::TestWithParam<Precision> {
 protected:
  void SetUp() override {
    try {
      cudnn();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    ASSERT_EQ(cudnn().create_descriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &properties_), CUDNN_STATUS_SUCCESS);
    const std::string text = kProperties;
    cudnn().set_attribute(properties_, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                          static_cast<std::int64_t>(text.size()), text.data());
    if (cudnn().finalize(properties_) != CUDNN_STATUS_SUCCESS)
      GTEST_SKIP() << "this cuDNN names a device's properties otherwise";
  }
  void TearDown() override {
    if (properties_) cudnn().destroy_descriptor(properties_);
  }

  cudnnBackendDescriptor_t properties_ = nullptr;
};

TEST_P(CudnnPlansTest, AreFoundForEveryConvolution) {
  for (const auto& [shape, counts] : convolutions_of({"resnet18", "resnet50", "vgg19", "resnet20"}, 128)) {
    for (const ConvolutionPass pass :
         {ConvolutionPass::kForward, ConvolutionPass::kBackwardInput, ConvolutionPass::kBackwardFilter}) {
      const CudnnPlans found = find_cudnn_plans({nullptr, properties_}, {shape, pass, GetParam()}, 10);
      EXPECT_FALSE(found.plans.empty()) << shape.name() << " " << name_of(pass) << ": " << found.last_failure;
      EXPECT_LE(found.plans.size(), 10u);
      for (const CudnnPlan& plan : found.plans) EXPECT_GE(plan.workspace_bytes, 0);
    }
  }
}

TEST_P(CudnnPlansTest, AreAsExactAsAskedFor) {
  const ConvolutionShape shape{128, 32, 64, 64, 3, {1, 1}};
  const CudnnPlans found = find_cudnn_plans({nullptr, properties_}, {shape, ConvolutionPass::kForward, GetParam()}, 10);
  if (GetParam() == Precision::kF32) {
    EXPECT_GT(found.refused, 0) << "what rounds its operands to tf32";
  } else {
    EXPECT_EQ(found.refused, 0);
  }
}

TEST_P(CudnnPlansTest, TakeTheirMemory) {
  int memory[6] = {};
  EXPECT_NO_THROW(make_variant_pack({memory, memory + 1, memory + 2}, memory + 3));
  EXPECT_NO_THROW(make_variant_pack({memory, memory + 1, memory + 2}, nullptr)) << "without working memory";
  EXPECT_NO_THROW(make_variant_pack({memory, memory + 1, memory + 2, memory + 4, memory + 5}, memory + 3));
}

TEST_P(CudnnPlansTest, AnImpossibleConvolutionIsAnError) {
  const ConvolutionShape impossible{128, 2, 64, 64, 9, {1, 0}};
  EXPECT_THROW(find_cudnn_plans({nullptr, properties_}, {impossible, ConvolutionPass::kForward, GetParam()}, 10),
               Error);
}

TEST_P(CudnnPlansTest, AreFoundForStatisticsIn16Bits) {
  for (const auto& [shape, counts] : convolutions_of({"resnet18"}, 128)) {
    const CudnnPlans found =
        find_cudnn_plans({nullptr, properties_}, {shape, ConvolutionPass::kForward, GetParam(), true}, 4);
    const bool expected = GetParam() == Precision::kBF16 && shape.in_channels % 8 == 0;
    EXPECT_EQ(found.plans.empty(), !expected) << shape.name() << ": " << found.last_failure;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, CudnnPlansTest,
                         ::testing::Values(Precision::kF32, Precision::kTF32, Precision::kBF16),
                         [](const auto& suite) { return std::string(gradamp::name_of(suite.param)); });

#endif

}  // namespace
}  // namespace gradamp::bench
