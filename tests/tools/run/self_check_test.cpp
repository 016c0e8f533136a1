// SPDX-License-Identifier: MIT
// Tests when the program runs the self-check of a GPU, what it records and what it prints. They need no GPU, because
// the check is a function parameter.
#include "gradamp/tools/run/self_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/core/version.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const SelfCheckSubject kSubject{
    {.name = "NVIDIA H200", .compute_capability = "9.0", .uuid = "GPU-12ab", .driver = "CUDA 13.0, 580.95"},
    "0.1.0 0123abcd"};

SelfCheckReport report_of(const std::string& bf16, const std::string& f32) {
  return {{{"mma", {Precision::kBF16}, 0.25, bf16}, {"cp.async", {Precision::kBF16, Precision::kF32}, 0.5, f32}}};
}

/// A check that counts how often it runs.
class CountedCheck {
 public:
  explicit CountedCheck(SelfCheckReport report = report_of("", "")) : report_(std::move(report)) {}
  std::vector<std::string> require(const SelfCheckSubject& subject, const std::filesystem::path& folder,
                                   Precision precision = Precision::kBF16) {
    return require_self_check(subject, precision, folder, [&] {
      ++runs_;
      return report_;
    });
  }
  std::string error(const std::filesystem::path& folder, Precision precision = Precision::kBF16) {
    try {
      require(kSubject, folder, precision);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  int runs() const { return runs_; }

 private:
  SelfCheckReport report_;
  int runs_ = 0;
};

TEST(SelfCheckMemory, ASuccessIsRemembered) {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch / "cache/self-check";  // does not exist yet
  CountedCheck check;
  EXPECT_THAT(check.require(kSubject, folder),
              ElementsAre("checked   NVIDIA H200 (compute capability 9.0) computes as expected: 2 parts in 0.8 s"));
  EXPECT_THAT(check.require(kSubject, folder), IsEmpty());
  EXPECT_THAT(check.require(kSubject, folder, Precision::kF32), IsEmpty()) << "all precisions are checked at once";
  EXPECT_EQ(check.runs(), 1);
  const std::string text = text_of(remembered_success(folder, kSubject));
  for (const char* part : {"NVIDIA H200", "9.0", "GPU-12ab", "CUDA 13.0, 580.95", "0.1.0 0123abcd"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST(SelfCheckMemory, IsOfOneDeviceDriverAndBuild) {
  const ScratchFolder folder;
  CountedCheck check;
  check.require(kSubject, folder.path());
  SelfCheckSubject other[] = {kSubject, kSubject, kSubject, kSubject, kSubject};
  other[0].device.name = "NVIDIA H100";
  other[1].device.compute_capability = "8.0";
  other[2].device.uuid = "GPU-12ac";
  other[3].device.driver = "CUDA 13.0, 580.96";
  other[4].build = "0.1.0 0123abce";
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(check.require(other[i], folder.path()), Not(IsEmpty())) << i;
    EXPECT_EQ(check.runs(), i + 2);
    EXPECT_THAT(check.require(other[i], folder.path()), IsEmpty()) << i;
  }
  EXPECT_THAT(check.require(kSubject, folder.path()), IsEmpty()) << "it is remembered beside the others";
}

TEST(SelfCheckMemory, AFileThatIsTornOrOfSomethingElseRemembersNothing) {
  const ScratchFolder folder;
  CountedCheck check;
  check.require(kSubject, folder.path());
  const std::filesystem::path file = remembered_success(folder.path(), kSubject);
  const std::string whole = text_of(file);
  SelfCheckSubject other = kSubject;
  other.device.uuid = "GPU-12ac";
  check.require(other, folder.path());
  int runs = check.runs();
  for (const std::string& text :
       {std::string(), whole.substr(0, whole.size() / 2), text_of(remembered_success(folder.path(), other))}) {
    put_text(file, text);
    check.require(kSubject, folder.path());
    EXPECT_EQ(check.runs(), ++runs) << text;
    EXPECT_EQ(text_of(file), whole) << "and is replaced";
  }
}

TEST(SelfCheckMemory, WithoutAFolderToWriteToTheCheckRunsEachTimeAndSaysSo) {
  const ScratchFolder scratch;
  put_text(scratch / "file", "");
  const std::filesystem::path below_a_file = scratch / "file/self-check";
  // A folder has the path of the file that would be written.
  std::filesystem::create_directories(remembered_success(scratch / "taken", kSubject));
  for (const std::filesystem::path& folder : {below_a_file, std::filesystem::path(), scratch / "taken"}) {
    CountedCheck check;
    for (int i = 1; i <= 2; ++i) {
      const std::vector<std::string> lines = check.require(kSubject, folder);
      ASSERT_EQ(lines.size(), 1u);
      EXPECT_THAT(lines[0], AllOf(StartsWith("checked   NVIDIA H200"), Not(HasSubstr("\n")),
                                  HasSubstr("; it is checked before every run, since no success is remembered: ")));
      EXPECT_THAT(lines[0], HasSubstr(folder.empty() ? "XDG_CACHE_HOME" : folder.string()));
      EXPECT_EQ(check.runs(), i);
    }
  }
}

TEST(SelfCheckMemory, ADisagreementStopsTheRunAndIsNotRemembered) {
  const ScratchFolder folder;
  CountedCheck check(report_of("d[row 0, column 1]: got 3, expected 5, off by 2", "off"));
  EXPECT_EQ(check.error(folder.path()),
            "the self-check of NVIDIA H200 (compute capability 9.0) disagrees with what the kernels expect, in mma: "
            "d[row 0, column 1]: got 3, expected 5, off by 2; also disagreeing: 'cp.async'. Try --precision tf32, "
            "which agrees, "
            "or another driver than this one (CUDA 13.0, 580.95), or a build for this GPU alone (cmake "
            "-DCMAKE_CUDA_ARCHITECTURES=90), or --device cpu");
  EXPECT_THAT(check.error(folder.path(), Precision::kF32), HasSubstr("in mma: d[row 0"));
  EXPECT_EQ(check.runs(), 2);
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(SelfCheckMemory, ARunGoesOnInAPrecisionThatAgrees) {
  const ScratchFolder folder;
  CountedCheck check(report_of("got 3, expected 5", ""));
  for (int i = 1; i <= 2; ++i) {
    EXPECT_THAT(check.require(kSubject, folder.path(), Precision::kF32),
                ElementsAre("warning   NVIDIA H200 (compute capability 9.0) computes as expected in f32, but not in "
                            "everything, so it is checked before every run: mma: got 3, expected 5"));
    EXPECT_EQ(check.runs(), i);
  }
  EXPECT_THAT(folder.names(), IsEmpty());
  EXPECT_NE(check.error(folder.path(), Precision::kBF16), "");
}

TEST(SelfCheckMemory, OnlyAGpuIsCheckedBeforeARun) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kEmulated})
    EXPECT_THAT(require_self_check(Device{kind}, Precision::kF32), IsEmpty());
}

TEST(SelfCheckMemory, TheBuildIsNamedByItsCode) {
  EXPECT_THAT(build_identity(), StartsWith(GRADAMP_VERSION " "));
  EXPECT_GE(build_identity().size(), sizeof(GRADAMP_VERSION) + 16);
  EXPECT_EQ(build_identity(), build_identity());
}

}  // namespace
}  // namespace gradamp
