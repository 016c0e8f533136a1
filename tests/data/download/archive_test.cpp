// SPDX-License-Identifier: MIT
#include "gradamp/data/download/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradamp/tests/data/download/archive_files.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/from_hex.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

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
  std::string problem(const std::string& bytes);
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
  const auto files = read_archive(archive, [](const std::string& path) -> std::optional<std::int64_t> {
    if (path != "top/long") return std::nullopt;
    return 300000;
  });
  ASSERT_EQ(files.size(), 1u);
  const auto& bytes = files.at("top/long");
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), kLong);
}

TEST_F(ArchiveTest, ReadsATarThatIsNotCompressed) {
  extract_archive(save(make_tar({{"plain", "12"}})), folder());
  EXPECT_EQ(text_of(folder() / "plain"), "12");
}

/// The message for an archive of these bytes; empty if it was read.
std::string ArchiveTest::problem(const std::string& bytes) {
  const fs::path archive = save(bytes);
  return test::error_of([&] { read_archive(archive, any_member); });
}

TEST_F(ArchiveTest, ChecksGzipsChecksumAndLength) {
  const std::string whole = make_gzip(make_tar({{"long", kLong}}));
  ASSERT_EQ(problem(whole), "");
  const auto flipped = [&](std::size_t at, int bit) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
    return problem(bytes);
  };
  for (std::size_t at = whole.size() - 8; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      EXPECT_THAT(flipped(at, bit), AllOf(HasSubstr("a.tar.gz: damaged"), HasSubstr("incorrect")));
    }
  }
  for (std::size_t at = 700; at < whole.size() - 8; at += 7919) EXPECT_NE(flipped(at, 3), "") << at;
}

TEST_F(ArchiveTest, RefusesAGzipFileThatIsCutShort) {
  const std::string whole = make_gzip(make_tar({{"plain", "12"}}));
  for (std::size_t size = 1; size < whole.size(); size += size + 60 < whole.size() ? 50 : 1) {
    EXPECT_THAT(problem(whole.substr(0, size)), HasSubstr("a.tar.gz")) << size;
  }
  EXPECT_THAT(problem(whole.substr(0, whole.size() - 8)), HasSubstr("cut short"));
}

TEST_F(ArchiveTest, ReadsSeveralGzipMembersAndZerosBehindThem) {
  const std::string tar = make_tar({{"long", kLong}});
  const std::string first = make_gzip(tar.substr(0, 100000)), second = make_gzip(tar.substr(100000));
  for (const std::string& bytes : {first + second, first + make_gzip("") + second + std::string(100000, '\0')}) {
    const auto files = read_archive(save(bytes), any_member);
    ASSERT_EQ(files.size(), 1u);
    EXPECT_TRUE(std::string(files.at("long").begin(), files.at("long").end()) == kLong);
  }
  std::string damaged = first;
  damaged[first.size() - 8] = static_cast<char>(damaged[first.size() - 8] ^ 1);
  EXPECT_THAT(problem(damaged + second), HasSubstr("incorrect data check"));
  damaged = second;
  damaged[second.size() - 1] = static_cast<char>(damaged[second.size() - 1] ^ 1);
  EXPECT_THAT(problem(first + damaged), HasSubstr("incorrect length check"));
  EXPECT_THAT(problem(first + second + "x"), HasSubstr("other bytes behind the end"));
  EXPECT_THAT(problem(first + second + "\0\0x"s), HasSubstr("other bytes behind the end"));
}

/// The bytes that hexadecimal digits stand for.
// A file "plain" with the content "12", packed by the programs tar, bzip2, xz, zstd and zip.
constexpr std::string_view kBzip2 =
    "425a683931415926535988c99b3600007cfb90c980004040007d0000086025de00040000082000543250d34d34f531a464f5049298469a680c"
    "43"
    "5cffc941c841388848d99f461f79e914086130532423977680c7674ad51755b707d6f3386190d0b74f00eea4903f17724538509088c99b36";
constexpr std::string_view kXz =
    "fd377a585a000004e6d6b446020021011c00000010cf58cce027ff00655d00381b084782b1a2fc3b55e4cf459dfe86e7572ab65a91ce5f6b9a"
    "5c"
    "872241ed94fdbaf4c8fa0678959c2564b4cfdffbb8da53ea596a77fca5403e963e6747d89fafd57eb84703ef86688e540c25d44c72ba548ccb"
    "d8"
    "6075f448aadcd1ef0e3f487b18897800000000006822ba49c740349a00018101805000009ba23caab1c467fb020000000004595a";
constexpr std::string_view kZstd =
    "28b52ffd6400273d0200b2820910b0a9032c0d8168c937baf72eb50682149fad8c41ed48a8b4be60c49ef57e3d33f4320439010c20502f320e"
    "fa"
    "057e4848017867180d30fc6fa63d1c80030605b09d141c8e6c8b84";
constexpr std::string_view kZip =
    "504b03040a0000000000cf8c7a5dcd44534f020000000200000005000000706c61696e3132504b01021e030a0000000000cf8c7a5dcd44534f"
    "02"
    "00000002000000050000000000000001000000a48100000000706c61696e504b0506000000000100010033000000250000000000";

TEST_F(ArchiveTest, ReadsOtherCompressionsAndChecksTheirChecksums) {
  const struct {
    std::string_view digits;
    std::size_t in_checksum;  // a byte of a checksum or of checked content
  } all[] = {{kBzip2, 12}, {kXz, 143}, {kZstd, 83}, {kZip, 36}};
  for (const auto& one : all) {
    std::string bytes = from_hex(one.digits);
    const fs::path archive = save(bytes);
    extract_archive(archive, folder());
    EXPECT_EQ(text_of(folder() / "plain"), "12");
    fs::remove_all(folder());
    EXPECT_THAT(problem(bytes.substr(0, bytes.size() / 2)), HasSubstr("a.tar.gz")) << one.digits;
    bytes[one.in_checksum] = static_cast<char>(bytes[one.in_checksum] ^ 1);
    EXPECT_THAT(problem(bytes), HasSubstr("a.tar.gz")) << one.digits;
  }
}

TEST_F(ArchiveTest, NamesWhatIsNoArchive) {
  const struct {
    std::string bytes;
    const char* what;
  } all[] = {{"", "the file is empty"},
             {"7z\xbc\xaf\x27\x1c rest", "a 7-Zip archive"},
             {"\x1f\x9d\x90 rest", "compressed by compress (.Z)"},
             {"LZIP\1 rest", "compressed by lzip"},
             {"<!DOCTYPE html><html>404</html>", "a page of HTML"},
             {"<html>404</html>", "a page of HTML"},
             {std::string(4096, 'x'), "cannot be read as an archive"}};
  for (const auto& one : all) {
    EXPECT_THAT(problem(one.bytes), AllOf(HasSubstr("a.tar.gz: "), HasSubstr(one.what), Not(HasSubstr("fetch it")),
                                          Not(HasSubstr("no reason given"))));
  }
}

TEST_F(ArchiveTest, NamesAFileThatCannotBeOpened) {
  const auto message = [&](const char* name) {
    return test::error_of([&] { read_archive(scratch_ / name, any_member); });
  };
  EXPECT_THAT(message("none.tar.gz"), HasSubstr("none.tar.gz: No such file"));
  folder();
  EXPECT_THAT(message("out"), HasSubstr("it is a folder; expected a regular file"));
  ASSERT_EQ(::mkfifo((scratch_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(message("pipe"), HasSubstr("it is a named pipe; expected a regular file"));
  fs::create_symlink("loop", scratch_ / "loop");
  EXPECT_THAT(message("loop"), AllOf(HasSubstr("cannot read"), HasSubstr("symbolic links")));
}

/// An extended header of POSIX (pax) for the next member.
TarEntry pax(const std::string& key, const std::string& value) {
  std::size_t size = key.size() + value.size() + 3;  // the blank, the equals sign and the newline
  size += std::to_string(size + 2).size();
  return {"pax", fmt::format("{} {}={}\n", size, key, value), 'x', ""};
}

TEST_F(ArchiveTest, ReadsNamesAndOwnersInAnyScript) {
  const std::string path = "данные/数据/été/plain";
  const fs::path archive = save(make_gzip(
      make_tar({pax("path", path), {"short", "12"}, pax("uname", "Łukasz"), {"owned", "3"}, {"caf\xe9/latin1", "4"}})));
  const auto files = read_archive(archive, any_member);
  EXPECT_EQ(files.size(), 3u);
  EXPECT_TRUE(files.contains(path));
  EXPECT_TRUE(files.contains("owned"));
  EXPECT_TRUE(files.contains("caf\xe9/latin1"));
  extract_archive(archive, folder());
  EXPECT_EQ(text_of(folder() / path), "12");
}

TEST_F(ArchiveTest, JudgesWantedMembersOnly) {
  const TarEntry wanted{"data/wanted", "12"};
  const std::string bytes = make_gzip(make_tar({{"link", "", '2', "/etc/passwd"},
                                                {"hard", "", '1', "data/wanted"},
                                                {"pipe", "", '6', ""},
                                                {"../outside", "x"},
                                                {"/outside", "x"},
                                                {"twice", "1"},
                                                {"twice", "2"},
                                                wanted}));
  const auto is_wanted = [](const std::string& path) -> std::optional<std::int64_t> {
    if (path != "data/wanted") return std::nullopt;
    return 2;
  };
  const auto files = read_archive(save(bytes), is_wanted);
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files.begin()->first, "data/wanted");
  extract_archive(save(bytes), folder(), 100, is_wanted);
  EXPECT_EQ(text_of(folder() / "data/wanted"), "12");
}

TEST_F(ArchiveTest, JudgesSizesBeforeUnpacking) {
  // The content is missing, so a reader that unpacks first reports that.
  const std::string header = make_tar({{"wanted", kLong}}).substr(0, 512);
  const auto limit = [](std::int64_t bytes) { return [=](const std::string&) { return std::optional(bytes); }; };
  const fs::path archive = save(make_gzip(header));
  EXPECT_THAT(test::error_of([&] { read_archive(archive, limit(299999)); }),
              HasSubstr("its file wanted has 300000 bytes, expected at most 299999"));
  EXPECT_THAT(test::error_of([&] { read_archive(archive, limit(300000)); }), HasSubstr("runcated"));
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
    EXPECT_NE(test::error_of([&] { read_archive(archive, any_member); }), "") << entry.path;
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

// For every compression: if a call fails, reading gives all files or an Error with the cause.
TEST_F(ArchiveTest, ReportsAFailureOfEveryCall) {
  const std::string tar = make_tar({{"long", kLong}, {"short", "12"}});
  for (const std::string& bytes : {tar, make_gzip(tar), from_hex(kBzip2), from_hex(kZip)}) {
    const fs::path archive = save(bytes);
    const auto read = [&](FileSystem& file_system) {
      return read_archive(archive, any_member, kMaxArchiveBytes, file_system);
    };
    const auto whole = read(real_file_system());
    const int calls = count_calls(read);
    EXPECT_GE(calls, 7);
    int failed = 0;
    for (int at = 1; at <= calls; ++at) {
      FailingFileSystem broken(Fault::kIoError, at), interrupted(Fault::kInterrupted, at);
      const std::string error = test::error_of([&] { EXPECT_TRUE(read(broken) == whole) << at; });
      EXPECT_THAT(error, testing::AnyOf("", "cannot read " + archive.string() + ": Input/output error")) << at;
      failed += error.empty() ? 0 : 1;
      EXPECT_TRUE(read(interrupted) == whole) << at;
    }
    EXPECT_GE(failed, calls - 2);  // all calls but the two that close the file
  }
}

TEST_F(ArchiveTest, UnpacksWholeFilesOrReportsTheCause) {
  const fs::path archive = save(make_gzip(make_tar({{"long", kLong}, {"short", "12"}})));
  const auto unpack = [&](FileSystem& file_system) {
    fs::remove_all(folder());
    extract_archive(archive, folder(), kMaxArchiveBytes, any_member, file_system);
  };
  const int calls = count_calls(unpack);
  for (const Fault fault : {Fault::kNoSpace, Fault::kShortWrite, Fault::kInterrupted}) {
    for (int at = 1; at <= calls; ++at) {
      const Outcome outcome = run_with_fault(fault, at, unpack);
      if (outcome.kind == Outcome::kFailed) {
        EXPECT_THAT(outcome.message, HasSubstr("No space left on device")) << name_of(fault) << " " << at;
        continue;
      }
      EXPECT_TRUE(text_of(folder() / "long") == kLong) << name_of(fault) << " " << at;
      EXPECT_EQ(text_of(folder() / "short"), "12") << name_of(fault) << " " << at;
    }
  }
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
