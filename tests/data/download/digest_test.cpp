// SPDX-License-Identifier: MIT
#include "gradamp/data/download/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "gradamp/tests/data/download/archive_files.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

std::string md5_of(const std::string& text) {
  Md5 md5;
  md5.add(text.data(), text.size());
  return md5.finish();
}

// The test suite of RFC 1321, appendix A.5.
TEST(Md5, GivesTheSumsOfTheRfc) {
  EXPECT_EQ(md5_of(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(md5_of("a"), "0cc175b9c0f1b6a831c399e269772661");
  EXPECT_EQ(md5_of("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(md5_of("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
            "57edf4a22be3c955ac49da2e2107b67a");
}

TEST(Md5, DoesNotDependOnThePieces) {
  const std::string text(200000, 'x');
  Md5 md5;
  for (std::size_t at = 0; at < text.size(); at += 777)
    md5.add(text.data() + at, std::min<std::size_t>(777, text.size() - at));
  EXPECT_EQ(md5.finish(), md5_of(text));
}

TEST(Md5, ReadsFilesLongerThanItsBuffer) {
  const ScratchFolder scratch;
  std::string text;
  for (int i = 0; i < 200000; ++i) text += static_cast<char>(i * 31 % 251);
  write_text(scratch.path() / "file", text);
  EXPECT_EQ(md5_of_file(scratch.path() / "file"), md5_of(text));
}

TEST(Md5, NamesAMissingFile) {
  EXPECT_EQ(test::error_of([] { md5_of_file("/nowhere/at/all"); }),
            "cannot read /nowhere/at/all: No such file or directory");
}

// A sum of the bytes before the failure would be taken for that of a damaged file.
TEST(Md5, ReportsAFailureOfEveryCall) {
  const ScratchFolder scratch;
  write_text(scratch / "file", std::string(200000, 'x'));
  const auto sum = [&](FileSystem& file_system) { return md5_of_file(scratch / "file", file_system); };
  const int calls = count_calls(sum);
  EXPECT_GE(calls, 6);  // open, size, four reads, close
  for (int at = 1; at <= calls; ++at) {
    FailingFileSystem broken(Fault::kIoError, at);
    EXPECT_EQ(test::error_of([&] { sum(broken); }),
              "cannot read " + (scratch / "file").string() + ": Input/output error")
        << at;
  }
}

}  // namespace
}  // namespace gradamp
