// SPDX-License-Identifier: MIT
#include "gradamp/data/files/partial_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::HasSubstr;
using Names = std::set<std::string>;

TEST(PartialFolder, GetsItsNameWhenItIsComplete) {
  const ScratchFolder folder;
  {
    PartialFolder partial(folder / "data");
    put_text(partial.path() / "file", "text");
    EXPECT_EQ(folder.names(), Names{"data.partial"});
    partial.rename_to_target();
  }
  EXPECT_EQ(folder.names(), Names{"data"});
  EXPECT_EQ(text_of(folder / "data" / "file"), "text");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "data"), {}), 1);
  { const PartialFolder given_up(folder / "data"); }
  EXPECT_EQ(folder.names(), Names{"data"});
}

TEST(PartialFolder, ReplacesALeftoverOfAKilledProgram) {
  const ScratchFolder folder;
  {
    const PartialFolder killed(folder / "data");
    put_text(killed.path() / "old", "text");
    std::filesystem::copy(killed.path(), folder / "leftover");
  }
  std::filesystem::rename(folder / "leftover", folder / "data.partial");
  PartialFolder partial(folder / "data");
  EXPECT_FALSE(std::filesystem::exists(partial.path() / "old"));
}

TEST(PartialFolder, NeverRemovesTheUsersFolderOrFile) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "data.partial");
  put_text(folder / "data.partial" / "thesis", "text");
  EXPECT_THAT(error_of([&] { PartialFolder(folder / "data"); }),
              HasSubstr("data.partial is there already, and this program did not make it; rename or remove it"));
  EXPECT_EQ(text_of(folder / "data.partial" / "thesis"), "text");
  put_text(folder / "other.partial", "text");
  EXPECT_THAT(error_of([&] { PartialFolder(folder / "other"); }), HasSubstr("rename or remove it"));
  put_text(folder / "empty.partial", "");
  EXPECT_THAT(error_of([&] { PartialFolder(folder / "empty"); }), HasSubstr("rename or remove it"));
  EXPECT_EQ(text_of(folder / "other.partial"), "text");
  EXPECT_EQ(text_of(folder / "empty.partial"), "");
}

}  // namespace
}  // namespace gradamp
