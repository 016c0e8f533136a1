// SPDX-License-Identifier: MIT
#include "gradamp/data/files/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(StatusOf, FollowsLinksAndNamesTheKind) {
  const ScratchFolder folder;
  put_text(folder / "file", "12345");
  std::filesystem::create_symlink("file", folder / "link");
  std::filesystem::create_symlink("none", folder / "dangling");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);  // must not wait for a writer
  EXPECT_EQ(status_of(folder / "file")->kind, FileKind::kRegular);
  EXPECT_EQ(status_of(folder / "link")->size, 5);
  EXPECT_EQ(status_of(folder / "pipe")->kind, FileKind::kPipe);
  EXPECT_EQ(status_of("/dev/null")->kind, FileKind::kDevice);
  EXPECT_FALSE(status_of(folder / "dangling"));
  EXPECT_TRUE(is_folder(folder.path()));
  EXPECT_FALSE(is_folder(folder / "file"));
  EXPECT_FALSE(is_folder(folder / "missing"));
}

TEST(StatusOf, TakesOnlyAMissingFileForMissing) {
  const ScratchFolder folder;
  put_text(folder / "file", "");
  EXPECT_FALSE(path_exists(folder / "missing"));
  EXPECT_FALSE(path_exists(folder / "file" / "below"));
  EXPECT_THAT(error_of([&] { path_exists(folder / std::string(300, 'x')); }), HasSubstr("File name too long"));
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_THAT(error_of([&] { path_exists(folder / "loop"); }), AllOf(HasSubstr("cannot open"), HasSubstr("loop")));
  for (const std::string name : {"file", "missing"}) {
    const auto look = [&](FileSystem& file_system) { return path_exists(folder / name, file_system); };
    for (int at = 1; at <= count_calls(look); ++at) {
      FailingFileSystem broken(Fault::kIoError, at), too_many(Fault::kTooManyOpen, at);
      EXPECT_EQ(error_of([&] { look(broken); }), "cannot open " + (folder / name).string() + ": Input/output error")
          << at;
      EXPECT_EQ(look(too_many), name == "file") << at;
    }
  }
}

TEST(IsFree, IsTrueOfNothingAndOfAnEmptyFolder) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "empty");
  put_text(folder / "file", "");
  EXPECT_TRUE(is_free(folder / "missing"));
  EXPECT_TRUE(is_free(folder / "empty"));
  EXPECT_FALSE(is_free(folder / "file"));
  EXPECT_FALSE(is_free(folder.path()));
  const auto look = [&](FileSystem& file_system) { is_free(folder / "empty", file_system); };
  for (int at = 1; at <= count_calls(look); ++at) {
    FailingFileSystem broken(Fault::kIoError, at);
    EXPECT_THAT(error_of([&] { look(broken); }), HasSubstr("Input/output error")) << at;
  }
}

}  // namespace
}  // namespace gradamp
