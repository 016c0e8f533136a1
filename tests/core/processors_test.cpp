// SPDX-License-Identifier: MIT
#include "gradamp/core/processors.h"

#include <sched.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "gradamp/core/thread_pool.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

/// Sets or unsets (null) a variable of the environment during its lifetime.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) {
    const char* const before = std::getenv(name);
    if (before != nullptr) before_ = before;
    set(value);
  }
  ~EnvironmentVariable() { set(before_ ? before_->c_str() : nullptr); }

 private:
  void set(const char* value) const { value == nullptr ? ::unsetenv(name_) : ::setenv(name_, value, 1); }

  const char* name_;
  std::optional<std::string> before_;
};

/// Prepared files in place of /proc/self/cgroup and /sys/fs/cgroup.
class Cgroups : public testing::Test {
 protected:
  void write(const fs::path& file, const std::string& text) const {
    const fs::path path = folder_.path() / file;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::optional<int> quota(const std::string& membership) const {
    write("membership", membership);
    return quota_processors(folder_.path() / "membership", folder_.path() / "root");
  }
  /// The quota of a group of version 2 that is at the root of its hierarchy, as in a container.
  std::optional<int> quota_of_file(const std::string& text) const {
    write("root/cpu.max", text);
    return quota("0::/\n");
  }

  ScratchFolder folder_;
};

TEST_F(Cgroups, NoFilesAreNoQuota) {
  EXPECT_EQ(quota_processors(folder_.path() / "missing", folder_.path() / "root"), std::nullopt);
  EXPECT_EQ(quota(""), std::nullopt);
  EXPECT_EQ(quota("0::/\n"), std::nullopt);
  EXPECT_EQ(quota("0::/a/b\n5:cpu:/a\n"), std::nullopt);
}

TEST_F(Cgroups, QuotasAreRoundedUp) {
  EXPECT_EQ(quota_of_file("200000 100000\n"), 2);
  EXPECT_EQ(quota_of_file("200001 100000\n"), 3);
  EXPECT_EQ(quota_of_file("150000 100000\n"), 2);
  EXPECT_EQ(quota_of_file("1000 100000\n"), 1);
  EXPECT_EQ(quota_of_file("50000 10000"), 5);
  EXPECT_EQ(quota_of_file("9000000000000000000 1\n"), 2147483647);
}

TEST_F(Cgroups, OtherTextsAreNoQuota) {
  for (const char* text :
       {"max 100000\n", "max\n", "", "\n", "200000\n", "200000 \n", "200000 0\n", "0 100000\n", "-1 100000\n",
        "200000 max\n", "2e5 100000\n", "200000 100000 1\n", "200000 100000x\n", "99999999999999999999 1\n", "words"})
    EXPECT_EQ(quota_of_file(text), std::nullopt) << text;
}

TEST_F(Cgroups, TheSmallestOfTheGroupsAboveCounts) {
  write("root/a/b/c/cpu.max", "max 100000\n");
  write("root/a/b/cpu.max", "300000 100000\n");
  write("root/a/cpu.max", "800000 100000\n");
  write("root/a/other/cpu.max", "100000 100000\n");
  EXPECT_EQ(quota("0::/a/b/c\n"), 3);
  EXPECT_EQ(quota("0::/a/b\n"), 3);
  EXPECT_EQ(quota("0::/a\n"), 8);
  write("root/a/b/c/cpu.max", "500000 100000\n");
  EXPECT_EQ(quota("0::/a/b/c\n"), 3);
  write("root/a/b/c/cpu.max", "200000 100000\n");
  EXPECT_EQ(quota("0::/a/b/c\n"), 2);
  write("root/cpu.max", "100000 100000\n");
  EXPECT_EQ(quota("0::/a/b/c\n"), 1);
}

TEST_F(Cgroups, APathThatTheContainerDoesNotSee) {
  write("root/cpu.max", "400000 100000\n");
  write("cpu.max", "100000 100000\n");  // not below the root
  EXPECT_EQ(quota("0::/docker/0123abcd\n"), 4);
  EXPECT_EQ(quota("0::/../../other\n"), 4);
  EXPECT_EQ(quota("0::/..\n"), 4);
}

TEST_F(Cgroups, VersionOne) {
  const std::string membership = "9:memory:/a/b\n4:cpu,cpuacct:/a/b\n3:cpuset:/\n1:name=systemd:/a\n";
  write("root/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
  write("root/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(membership), std::nullopt);
  write("root/cpu,cpuacct/a/b/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(quota(membership), 3);
  write("root/cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(quota(membership), 3);  // without a period
  write("root/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(membership), 2);
  write("root/cpuset/cpu.cfs_quota_us", "100000\n");  // not a hierarchy of the controller cpu
  write("root/cpuset/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(membership), 2);
}

TEST_F(Cgroups, VersionOneUnderTheNameOfTheController) {
  write("root/cpu/cpu.cfs_quota_us", "300000\n");
  write("root/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota("4:cpuacct,cpu:/docker/0123abcd\n"), 3);
  EXPECT_EQ(quota("4:cpuacct:/docker/0123abcd\n"), std::nullopt);
}

TEST_F(Cgroups, BothVersions) {
  write("root/cpu/cpu.cfs_quota_us", "300000\n");
  write("root/cpu/cpu.cfs_period_us", "100000\n");
  write("root/a/cpu.max", "200000 100000\n");
  EXPECT_EQ(quota("4:cpu:/\n0::/a\n"), 2);
  EXPECT_EQ(quota("4:cpu:/\n0::/\n"), 3);
  EXPECT_EQ(quota("nonsense\n4:cpu\n::\n4:cpu:/\n"), 3);
}

TEST(Processors, AffinityCounts) {
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_GE(usable_processors(), 1);
  EXPECT_LE(usable_processors(), CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(usable_processors(), 1);
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(Processors, OmpNumThreads) {
  const struct {
    const char* text;
    int threads;
  } cases[] = {{"3", 3},
               {" 3 ", 3},
               {"4,2", 4},
               {"64", 64},
               {"99999999999", kMaxPoolThreads},
               {"99999999999999999999", 0},
               {"5000", kMaxPoolThreads},
               {"0", 0},
               {"-2", 0},
               {"", 0},
               {"two", 0},
               {"3x", 0},
               {",2", 0}};
  for (const auto& [text, threads] : cases) {
    SCOPED_TRACE(text);
    const EnvironmentVariable variable("OMP_NUM_THREADS", text);
    EXPECT_EQ(threads_from_environment(), threads);
    EXPECT_EQ(default_threads(), threads > 0 ? threads : usable_processors());
  }
  const EnvironmentVariable unset("OMP_NUM_THREADS", nullptr);
  EXPECT_EQ(threads_from_environment(), 0);
}

}  // namespace
}  // namespace gradamp
