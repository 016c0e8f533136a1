// SPDX-License-Identifier: MIT
#include "gradamp/core/text.h"

#include <gtest/gtest.h>

namespace gradamp {
namespace {

TEST(Text, Utf8) {
  for (const char* text : {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\x7f"})
    EXPECT_TRUE(is_utf8(text)) << printable(text);
  for (const char* text : {"\x80", "\xe9", "a\xff", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
                           "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xc3"})
    EXPECT_FALSE(is_utf8(text)) << printable(text);
}

TEST(Text, NothingThatIsPrintedActsOnTheTerminal) {
  EXPECT_EQ(printable("resnet20, 0.1: caf\xc3\xa9 \xe2\x82\xac"), "resnet20, 0.1: caf\xc3\xa9 \xe2\x82\xac");
  EXPECT_EQ(printable("a\nb\rc\td"), "a\\nb\\rc\\td");
  EXPECT_EQ(printable("\x1b[2J\x07\x7f"), "\\x1b[2J\\x07\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x9b"), "\\u009b");      // C1: a terminal can take it for ESC [
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\u202e");  // right-to-left override
  EXPECT_EQ(printable("\xe2\x80\xa8"), "\\u2028");  // line separator
  EXPECT_EQ(printable("r\xe9\xff\xc3"), "r\\xe9\\xff\\xc3");
}

TEST(Text, LongTextIsShortened) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "abc... (4 bytes)");
  EXPECT_EQ(shortened("ab\xc3\xa9", 3), "ab... (4 bytes)");
  EXPECT_EQ(shortened("\xc3\xa9\xc3\xa9", 2), "\xc3\xa9... (4 bytes)");
}

}  // namespace
}  // namespace gradamp
