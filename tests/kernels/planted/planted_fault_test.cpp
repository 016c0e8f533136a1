// SPDX-License-Identifier: MIT
// Faults that a GPU, a compiler or a change of the kernels could cause: the self-check finds each, names the part, and
// stops a run that depends on it.
#include "gradamp/tests/kernels/planted/planted_fault.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/self_check.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tools/run/self_check.h"

namespace gradamp {

PlantedFault planted_fault = PlantedFault::kNone;

namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

SelfCheckReport check_with(PlantedFault fault, ThreadOrder order = ThreadOrder::kForward) {
  planted_fault = fault;
  BackendOptions options;
  options.thread_order = order;
  const SelfCheckReport report = self_check(Device{DeviceKind::kEmulated}, options);
  planted_fault = PlantedFault::kNone;
  return report;
}

std::vector<std::string> disagreeing(const SelfCheckReport& report) {
  std::vector<std::string> names;
  for (const SelfCheckPart& part : report.parts)
    if (!part.disagreement.empty()) names.push_back(part.name);
  return names;
}

std::string first_disagreement(const SelfCheckReport& report) {
  const std::vector<std::string> names = disagreeing(report);
  return names.empty() ? "none" : names.front();
}

/// The message that stops a run, or "" if the run continues.
std::string stop_message(const SelfCheckReport& report, Precision precision) {
  const ScratchFolder folder;
  const SelfCheckSubject subject{{.name = "a GPU", .compute_capability = "9.0", .uuid = "GPU-1", .driver = "CUDA 13.0"},
                                 "a build"};
  try {
    require_self_check(subject, precision, folder.path(), [&] { return report; });
  } catch (const Error& error) {
    EXPECT_THAT(folder.names(), IsEmpty()) << "a failure is not remembered";
    return error.what();
  }
  return "";
}

TEST(PlantedFault, NothingDisagreesWithoutOne) { EXPECT_THAT(disagreeing(check_with(PlantedFault::kNone)), IsEmpty()); }

TEST(PlantedFault, SwappedRegistersOfAFragment) {
  const SelfCheckReport report = check_with(PlantedFault::kSwappedFragment);
  EXPECT_EQ(first_disagreement(report), "mma.m16n8k16, bf16");
  EXPECT_THAT(disagreeing(report), Contains("convolution forward, bf16"));
  EXPECT_THAT(
      stop_message(report, Precision::kBF16),
      AllOf(StartsWith("the self-check of a GPU (compute capability 9.0) disagrees with what the kernels expect, "
                       "in mma.m16n8k16, bf16: d[row "),
            HasSubstr(": got "), HasSubstr(", expected "), HasSubstr(", off by "),
            HasSubstr("Try --precision f32, which agrees, or --precision tf32, which agrees, or another driver"),
            HasSubstr("--device cpu")));
  EXPECT_EQ(stop_message(report, Precision::kF32), "") << "f32 does not depend on mma";
  EXPECT_EQ(stop_message(report, Precision::kTF32), "") << "tf32 does not depend on the mma of bf16";
}

TEST(PlantedFault, SwappedSums) {
  const SelfCheckReport report = check_with(PlantedFault::kSwappedSums);
  EXPECT_EQ(first_disagreement(report), "mma.m16n8k8, tf32");
  EXPECT_THAT(disagreeing(report), Contains("convolution backward filter, tf32"));
  EXPECT_THAT(stop_message(report, Precision::kTF32), HasSubstr("in mma.m16n8k8, tf32: d[row 0, column 0]: got "));
  EXPECT_EQ(stop_message(report, Precision::kBF16), "");
}

TEST(PlantedFault, LdmatrixThatDoesNotTranspose) {
  const SelfCheckReport report = check_with(PlantedFault::kTransposeLost);
  EXPECT_EQ(first_disagreement(report), "ldmatrix.x4.trans");
  EXPECT_THAT(disagreeing(report), Contains("convolution backward filter, bf16"));
  EXPECT_THAT(disagreeing(report), Not(Contains("convolution forward, bf16"))) << "it transposes nothing";
  // Lane 0 gets rows 0 and 1 of column 0, 1000 and 1008; without the transposition, columns 0 and 1 of row 0.
  EXPECT_THAT(stop_message(report, Precision::kBF16),
              HasSubstr("in ldmatrix.x4.trans: register[lane 0, matrix 0]: got 0x03e903e8, expected 0x03f003e8"));
  EXPECT_EQ(stop_message(report, Precision::kTF32), "");
}

TEST(PlantedFault, CopyThatLeavesOutZeros) {
  const SelfCheckReport report = check_with(PlantedFault::kZerosLost);
  EXPECT_EQ(first_disagreement(report), "cp.async of 16 bytes");
  for (const Precision precision : {Precision::kF32, Precision::kTF32, Precision::kBF16})
    EXPECT_THAT(stop_message(report, precision),
                AllOf(HasSubstr("in cp.async of 16 bytes: copied[group 0, thread "), HasSubstr("expected 0x00000000"),
                      Not(HasSubstr("--precision"))));
}

TEST(PlantedFault, WaitThatLeavesOneGroupMore) {
  const SelfCheckReport report = check_with(PlantedFault::kWaitLost);
  EXPECT_EQ(first_disagreement(report), "cp.async of 16 bytes");
  EXPECT_NE(stop_message(report, Precision::kF32), "");
}

TEST(PlantedFault, BarrierThatTheConvolutionsNeed) {
  for (const ThreadOrder order : {ThreadOrder::kForward, ThreadOrder::kReverse, ThreadOrder::kShuffled}) {
    const SelfCheckReport report = check_with(PlantedFault::kBarrierLost, order);
    EXPECT_EQ(first_disagreement(report), "convolution forward, f32") << "no instruction is wrong";
    for (const char* part :
         {"convolution forward, tf32", "convolution forward, bf16", "convolution backward filter, bf16"})
      EXPECT_THAT(disagreeing(report), Contains(part));
    EXPECT_THAT(stop_message(report, Precision::kBF16), HasSubstr("in convolution forward, f32: y[n "));
  }
}

TEST(PlantedFault, ChunksThatLieInOnePlace) {
  const SelfCheckReport report = check_with(PlantedFault::kWrongSwizzle);
  EXPECT_EQ(first_disagreement(report), "convolution forward, f32");
  EXPECT_THAT(stop_message(report, Precision::kF32), AllOf(HasSubstr("in convolution forward, f32: y[n "),
                                                           HasSubstr("(by the plain kernel; x [3, 15, 13, 24]")));
}

}  // namespace
}  // namespace gradamp
