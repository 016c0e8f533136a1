// SPDX-License-Identifier: MIT
// Tests when a GPU is checked before a Trainer uses it. They need no GPU, because the check is a function parameter.
#include "gradamp/optim/training/gpu_check.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/backends.h"

namespace gradamp {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

const DeviceFacts kGpu{
    .name = "NVIDIA H200", .compute_capability = "9.0", .uuid = "GPU-12ab", .driver = "CUDA 13.0, 580.95"};

SelfCheckReport report_of(const std::string& bf16) {
  return {{{"mma", {Precision::kBF16}, 0.25, bf16}, {"cp.async", {Precision::kBF16, Precision::kF32}, 0.5, ""}}};
}

TEST(GpuCheck, RunsOncePerDeviceAndDriver) {
  CheckedGpus gpus;
  int runs = 0;
  const auto require = [&](const DeviceFacts& device) {
    gpus.require(device, Precision::kBF16, [&] {
      ++runs;
      return report_of("");
    });
  };
  require(kGpu);
  require(kGpu);
  EXPECT_EQ(runs, 1);
  DeviceFacts other = kGpu;
  other.uuid = "GPU-12ac";
  require(other);
  EXPECT_EQ(runs, 2);
  other = kGpu;
  other.driver = "CUDA 13.0, 580.96";
  require(other);
  require(kGpu);
  EXPECT_EQ(runs, 3);
}

TEST(GpuCheck, WhatDisagreesStopsThePrecisionsThatDependOnIt) {
  CheckedGpus gpus;
  const auto require = [&](Precision precision) {
    gpus.require(kGpu, precision, [] { return report_of("d[row 0, column 1]: got 3, expected 5"); });
  };
  EXPECT_NO_THROW(require(Precision::kF32));
  for (int i = 0; i < 2; ++i)
    EXPECT_THAT([&] { require(Precision::kBF16); },
                ThrowsMessage<Error>(AllOf(
                    HasSubstr("the self-check of NVIDIA H200 (compute capability 9.0) disagrees with what the kernels "
                              "expect, in mma: d[row 0, column 1]: got 3, expected 5; train on another device"),
                    testing::Not(HasSubstr("--")))));
}

TEST(GpuCheck, ACheckThatThrewRunsAgain) {
  CheckedGpus gpus;
  EXPECT_THAT([&] { gpus.require(kGpu, Precision::kF32, []() -> SelfCheckReport { fail("no memory"); }); },
              ThrowsMessage<Error>(HasSubstr("no memory")));
  int runs = 0;
  gpus.require(kGpu, Precision::kF32, [&] {
    ++runs;
    return report_of("");
  });
  EXPECT_EQ(runs, 1);
}

TEST(GpuCheck, ThePrecisionIsTheBackends) {
  EXPECT_EQ(precision_of(*make_backend(Device{DeviceKind::kCpu})), Precision::kF32);
  for (const Precision precision : {Precision::kF32, Precision::kTF32, Precision::kBF16}) {
    BackendOptions options;
    options.precision = precision;
    EXPECT_EQ(precision_of(*make_backend(Device{DeviceKind::kEmulated}, options)), precision);
  }
}

}  // namespace
}  // namespace gradamp
