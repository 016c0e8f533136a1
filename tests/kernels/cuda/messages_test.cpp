// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/messages.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/cuda/device_code.h"
#include "gradamp/kernels/cuda/runtime.h"

namespace gradamp::GRADAMP_GPU {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// While it lives, CUDA_LAUNCH_BLOCKING is set or unset.
class LaunchBlocking {
 public:
  explicit LaunchBlocking(const char* value) {
    if (const char* const before = std::getenv(kName)) before_ = before;
    set(value);
  }
  ~LaunchBlocking() { set(before_.empty() ? nullptr : before_.c_str()); }
  LaunchBlocking(const LaunchBlocking&) = delete;
  LaunchBlocking& operator=(const LaunchBlocking&) = delete;

 private:
  static constexpr const char* kName = "CUDA_LAUNCH_BLOCKING";
  static void set(const char* value) { value == nullptr ? unsetenv(kName) : setenv(kName, value, 1); }
  std::string before_;
};

std::string text_of(cudaError_t error) { return failure_text(error, "cudaEventQuery", "/a/b/file.cpp", 12); }

TEST(FailureText, NamesCallFileAndError) {
  EXPECT_EQ(text_of(cudaErrorInvalidValue),
            "cudaEventQuery at file.cpp:12: CUDA reports 'invalid argument' (cudaErrorInvalidValue)");
  EXPECT_EQ(failure_text(cudaErrorInvalidValue, "cudaMalloc", "file.cpp", 3),
            "cudaMalloc at file.cpp:3: CUDA reports 'invalid argument' (cudaErrorInvalidValue)");
}

TEST(FailureText, SaysThatAnErrorIsOfAnEarlierKernel) {
  const LaunchBlocking unset(nullptr);
  EXPECT_EQ(text_of(cudaErrorIllegalAddress),
            "cudaEventQuery at file.cpp:12: CUDA reports 'an illegal memory access was encountered' "
            "(cudaErrorIllegalAddress) (of a kernel launched earlier; CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer "
            "names it)");
  for (const int error : {700, 702, 710, 714, 715, 716, 717, 718, 719})
    EXPECT_THAT(text_of(static_cast<cudaError_t>(error)), HasSubstr("of a kernel launched earlier")) << error;
  for (const int error : {1, 2, 35, 100, 101, 209, 222, 400, 600, 900, 901, 903, 905, 907, 999})
    EXPECT_THAT(text_of(static_cast<cudaError_t>(error)), Not(HasSubstr("earlier"))) << error;
}

TEST(FailureText, BlamesNoEarlierKernelIfLaunchesWait) {
  for (const char* const value : {"1", "2"}) {
    const LaunchBlocking blocking(value);
    EXPECT_THAT(text_of(cudaErrorIllegalAddress), Not(HasSubstr("earlier"))) << value;
  }
  for (const char* const value : {"0", ""}) {
    const LaunchBlocking asynchronous(value);
    EXPECT_THAT(text_of(cudaErrorIllegalAddress), HasSubstr("earlier")) << value;
  }
}

TEST(FailureText, IsWhatChecksThrow) {
  const LaunchBlocking unset(nullptr);
  try {
    check_cuda(cudaErrorLaunchFailure, "cudaStreamSynchronize", "folder/other.cpp", 7);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), failure_text(cudaErrorLaunchFailure, "cudaStreamSynchronize", "folder/other.cpp", 7));
  }
}

TEST(DriverText, TellsNoDriverFromAnOldOne) {
  EXPECT_EQ(driver_text(0, 13000), "there is no NVIDIA driver: install one for CUDA 13.0 or newer");
  EXPECT_EQ(driver_text(12020, 13000),
            "the NVIDIA driver here is for CUDA 12.2, this build needs 13.0 or newer: update the driver");
}

// A driver for CUDA 12.0 can run a program built with 12.8.
TEST(DriverText, NeedsTheFirstDriverOfTheMajorVersion) {
  EXPECT_EQ(driver_text(11080, 12080),
            "the NVIDIA driver here is for CUDA 11.8, this build needs 12.0 or newer: update the driver");
}

TEST(ArchitecturesText, IsOfComputeCapabilities) {
  EXPECT_EQ(architectures_text("80-real, 90"), "8.0, 9.0 and PTX of 9.0");
  EXPECT_EQ(architectures_text("80-real;90"), "8.0, 9.0 and PTX of 9.0");
  EXPECT_EQ(architectures_text("80-real, 86-real"), "8.0, 8.6");
  EXPECT_EQ(architectures_text("120"), "12.0 and PTX of 12.0");
  EXPECT_EQ(architectures_text("90-virtual"), "PTX of 9.0");
  EXPECT_EQ(architectures_text("90a-real, 100f-real"), "9.0a, 10.0f");
}

TEST(ArchitecturesText, KeepsWhatHasNoNumber) {
  EXPECT_EQ(architectures_text("all-major"), "all-major");
  EXPECT_EQ(architectures_text("native"), "native");
  EXPECT_EQ(architectures_text("80-other"), "80-other");
  EXPECT_EQ(architectures_text("8"), "8");
}

const Gpu kNewer{"NVIDIA GeForce RTX 5090", 12, 0};

TEST(NoCodeText, SaysWhatTheBuildHasAndTheGpuNeeds) {
  EXPECT_EQ(no_code_text(cudaErrorNoKernelImageForDevice, kNewer, "80-real, 90-real", 13000),
            "this build has code for 8.0, 9.0; NVIDIA GeForce RTX 5090 has 12.0: configure with "
            "-DCMAKE_CUDA_ARCHITECTURES=120");
}

TEST(NoCodeText, SaysThatTheDriverCannotCompilePtx) {
  EXPECT_EQ(no_code_text(cudaErrorUnsupportedPtxVersion, kNewer, "80-real, 90", 12020),
            "this build has code for 8.0, 9.0 and PTX of 9.0; the NVIDIA driver, for CUDA 12.2, is too old to compile "
            "that PTX for NVIDIA GeForce RTX 5090 (12.0): update the driver, or configure with "
            "-DCMAKE_CUDA_ARCHITECTURES=120");
}

TEST(NoCodeText, NamesTheGpuOfAnyOtherError) {
  EXPECT_EQ(no_code_text(cudaErrorMemoryAllocation, kNewer, "80-real, 90", 13000),
            "NVIDIA GeForce RTX 5090: out of memory (cudaErrorMemoryAllocation)");
}

TEST(DeviceCode, HasAKernelToAskAbout) { EXPECT_NE(empty_kernel_address(), nullptr); }

}  // namespace
}  // namespace gradamp::GRADAMP_GPU
