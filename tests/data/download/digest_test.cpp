// SPDX-License-Identifier: MIT
#include "gradamp/data/download/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "gradamp/tests/data/download/archive_files.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using testing::HasSubstr;

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
  EXPECT_THAT(test::error_of([] { md5_of_file("/nowhere/at/all"); }), HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace gradamp
