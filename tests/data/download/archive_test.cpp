// SPDX-License-Identifier: MIT
#include "gradamp/data/download/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "gradamp/tests/data/download/archive_files.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class ArchiveTest : public testing::Test {
 protected:
  fs::path save(const std::string& bytes) {
    write_text(scratch_.path() / "a.tar.gz", bytes);
    return scratch_.path() / "a.tar.gz";
  }
  fs::path folder() {
    fs::create_directories(scratch_.path() / "out");
    return scratch_.path() / "out";
  }
  ScratchFolder scratch_;
};

const std::string kLong = [] {
  std::string text;
  for (int i = 0; i < 300000; ++i) text += static_cast<char>(i * 1009 >> 3);
  return text;
}();

TEST_F(ArchiveTest, UnpacksFilesAndFolders) {
  const fs::path archive = save(
      make_gzip(make_tar({{"top/", "", '5', ""}, {"top/long", kLong}, {"./top/deep/er/empty", ""}, {"plain", "12"}})));
  extract_archive(archive, folder());
  EXPECT_EQ(text_of(folder() / "top/long"), kLong);
  EXPECT_TRUE(fs::is_regular_file(folder() / "top/deep/er/empty"));
  EXPECT_EQ(text_of(folder() / "plain"), "12");
}

TEST_F(ArchiveTest, ReadsTheWantedFilesIntoMemory) {
  const fs::path archive = save(make_gzip(make_tar({{"top/long", kLong}, {"top/other", "no"}})));
  const auto files = read_archive(archive, [](const std::string& path) { return path == "top/long"; });
  ASSERT_EQ(files.size(), 1u);
  const auto& bytes = files.at("top/long");
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), kLong);
}

TEST_F(ArchiveTest, ReadsATarThatIsNotCompressed) {
  extract_archive(save(make_tar({{"plain", "12"}})), folder());
  EXPECT_EQ(text_of(folder() / "plain"), "12");
}

TEST_F(ArchiveTest, RefusesPathsThatLeadOut) {
  const std::vector<TarEntry> bad{
      {"../outside", "x"},         {"top/../../outside", "x"},       {"/outside", "x"},
      {"../outside", "", '5', ""}, {"link", "", '2', "/etc/passwd"}, {"link", "", '1', "inside"},
      {"pipe", "", '6', ""}};
  for (const TarEntry& entry : bad) {
    const fs::path archive = save(make_gzip(make_tar({{"inside", "fine"}, entry, {"after", "x"}})));
    EXPECT_THAT(test::error_of([&] { extract_archive(archive, folder()); }),
                AllOf(HasSubstr("a.tar.gz"), HasSubstr("nothing of it is used")))
        << entry.path << " " << entry.type;
    EXPECT_NE(test::error_of([&] { read_archive(archive, [](const std::string&) { return true; }); }), "")
        << entry.path;
    EXPECT_FALSE(fs::exists(scratch_.path() / "outside")) << entry.path;
    EXPECT_FALSE(fs::is_symlink(folder() / "link"));
    EXPECT_FALSE(fs::exists(folder() / "after")) << entry.path;
    fs::remove_all(folder());
  }
}

TEST_F(ArchiveTest, RefusesToWriteOverAFile) {
  write_text(folder() / "plain", "good");
  EXPECT_THAT(test::error_of([&] {
                extract_archive(save(make_gzip(make_tar({{"plain", "bad"}}))), folder());
              }),
              HasSubstr("already exists"));
  EXPECT_EQ(text_of(folder() / "plain"), "good");
}

TEST_F(ArchiveTest, RefusesAFileTwice) {
  EXPECT_THAT(test::error_of([&] {
                extract_archive(save(make_gzip(make_tar({{"a", "1"}, {"./a", "2"}}))), folder());
              }),
              HasSubstr("twice"));
}

TEST_F(ArchiveTest, RefusesMoreContentThanExpected) {
  const fs::path archive = save(make_gzip(make_tar({{"long", kLong}})));
  const auto size = static_cast<std::int64_t>(kLong.size());
  EXPECT_THAT(test::error_of([&] { extract_archive(archive, folder(), size - 1); }),
              HasSubstr("more than 299999 bytes"));
  fs::remove_all(folder());
  EXPECT_EQ(test::error_of([&] { extract_archive(archive, folder(), size); }), "");
}

TEST_F(ArchiveTest, RefusesWhatIsDamagedOrNoArchive) {
  const std::string whole = make_gzip(make_tar({{"long", kLong}}));
  for (const std::string& bytes : {std::string(), std::string("not an archive at all"), whole.substr(0, 100),
                                   whole.substr(0, whole.size() / 2), make_gzip(std::string(1024, '\0'))}) {
    EXPECT_THAT(test::error_of([&] { extract_archive(save(bytes), folder()); }), HasSubstr("a.tar.gz")) << bytes.size();
    fs::remove_all(folder());
  }
  EXPECT_THAT(test::error_of([&] { extract_archive(scratch_.path() / "none.tar.gz", folder()); }),
              HasSubstr("none.tar.gz"));
}

TEST_F(ArchiveTest, RefusesAFileWhereAFolderIsNeeded) {
  EXPECT_THAT(test::error_of([&] {
                extract_archive(save(make_gzip(make_tar({{"a", "1"}, {"a/b", "2"}}))), folder());
              }),
              HasSubstr("cannot create"));
}

}  // namespace
}  // namespace gradamp
