// SPDX-License-Identifier: MIT
// The self-check of correct kernels. tests/kernels/planted tests that it finds planted faults.
#include "gradamp/kernels/self_check.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using ::testing::HasSubstr;

constexpr Precision kPrecisions[] = {Precision::kF32, Precision::kTF32, Precision::kBF16};

void expect_all_agree(const SelfCheckReport& report) {
  EXPECT_GE(report.parts.size(), 20u);
  for (const SelfCheckPart& part : report.parts) EXPECT_EQ(part.disagreement, "") << part.name;
  EXPECT_TRUE(report.passed());
}

TEST(SelfCheck, PassesInEveryOrderOfThreads) {
  for (const ThreadOrder order : {ThreadOrder::kForward, ThreadOrder::kReverse, ThreadOrder::kShuffled}) {
    BackendOptions options;
    options.thread_order = order;
    expect_all_agree(self_check(Device{DeviceKind::kEmulated}, options));
  }
}

// By the same check a GPU is judged before it takes these convolutions.
TEST(SelfCheck, PassesWithTheConvolutionsHopper) {
  expect_all_agree(self_check(Device{DeviceKind::kEmulated}, {.convolution = ConvolutionMethod::kHopper}));
}

TEST(SelfCheck, Passes_cuda) {
  for (const DeviceStatus& status : device_statuses()) {
    if (status.device.kind != DeviceKind::kCuda) continue;
    if (!status.available) GTEST_SKIP() << "there is no GPU: " << status.description;
    expect_all_agree(self_check(status.device));
    EXPECT_NE(device_facts(status.device).name, "");
    EXPECT_NE(device_facts(status.device).compute_capability, "");
  }
}

TEST(SelfCheck, HasAPartForEveryInstructionAndForEachConvolutionInEachPrecision) {
  std::set<std::string> names;
  for (const SelfCheckPart& part : self_check(Device{DeviceKind::kEmulated}).parts) {
    EXPECT_TRUE(names.insert(part.name).second) << part.name << " twice";
    EXPECT_FALSE(part.precisions.empty()) << part.name;
    EXPECT_GT(part.seconds, 0) << part.name;
  }
  for (const char* instruction :
       {"mma.m16n8k16, bf16", "mma.m16n8k8, tf32", "cvt.rna, tf32", "ldmatrix.x4", "ldmatrix.x4.trans",
        "cp.async of 16 bytes", "optimizer step of AdamW", "clipping and learning rate", "recorded graph"})
    EXPECT_TRUE(names.contains(instruction)) << instruction;
  for (const char* direction : {"forward", "backward input", "backward filter"})
    for (const Precision precision : kPrecisions)
      EXPECT_TRUE(names.contains(fmt::format("convolution {}, {}", direction, name_of(precision))));
}

TEST(SelfCheck, ADisagreementConcernsThePrecisionsThatDependOnIt) {
  SelfCheckReport report{{{"a", {Precision::kBF16, Precision::kTF32}, 0, ""}, {"b", {Precision::kF32}, 0, ""}}};
  EXPECT_TRUE(report.passed());
  report.parts[0].disagreement = "got 1, expected 2";
  EXPECT_FALSE(report.passed());
  EXPECT_FALSE(report.passed(Precision::kBF16));
  EXPECT_FALSE(report.passed(Precision::kTF32));
  EXPECT_TRUE(report.passed(Precision::kF32));
}

TEST(SelfCheck, RefusesADeviceThatDoesNotRunTheKernels) {
  EXPECT_THAT(error_of([] { self_check(Device{DeviceKind::kCpu}); }), HasSubstr("(cuda or emulated)"));
  EXPECT_THAT(error_of([] { device_facts(Device{DeviceKind::kCpu}); }), HasSubstr("(cuda or emulated)"));
  EXPECT_EQ(device_facts(Device{DeviceKind::kEmulated}).name, "emulated");
}

TEST(SelfCheck, SaysWhyAGpuCannotBeChecked) {
  for (const DeviceStatus& status : device_statuses()) {
    if (status.device.kind != DeviceKind::kCuda || status.available) continue;
    EXPECT_NE(error_of([&] { self_check(status.device); }), "");
    EXPECT_NE(error_of([&] { device_facts(status.device); }), "");
  }
}

}  // namespace
}  // namespace gradamp::test
