// SPDX-License-Identifier: MIT
#include "gradamp/data/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

/// The four bytes of `value`, the most significant first.
std::string word(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

/// Three images of 2x5 pixels. Their values count up from `first`.
std::string images(int first) {
  std::string file = word(0x803) + word(3) + word(2) + word(5);
  for (int i = 0; i < 30; ++i) file += static_cast<char>(first + i);
  return file;
}

const std::string kLabels = word(0x801) + word(3) + std::string("\2\0\1", 3);

class IdxTest : public testing::Test {
 protected:
  IdxTest() {
    put_text(folder_ / "train-images-idx3-ubyte", images(100));
    put_text(folder_ / "train-labels-idx1-ubyte", kLabels);
    put_text(folder_ / "t10k-images-idx3-ubyte", images(220));
    put_text(folder_ / "t10k-labels-idx1-ubyte", kLabels);
  }
  Dataset load(const std::string& split) const {
    return load_idx_dataset(folder_.path(), split, "letters", {"a", "b", "c"});
  }
  std::string error_with(const std::string& file, const std::string& contents) const {
    put_text(folder_ / file, contents);
    return error_of([&] { load("train"); });
  }

  ScratchFolder folder_;
};

TEST_F(IdxTest, ReadsBothSplits) {
  const Dataset train = load("train"), test = load("test");
  EXPECT_EQ(train.name, "letters");
  EXPECT_EQ(train.split, "train");
  EXPECT_EQ(train.shape(), (Shape{3, 2, 5, 1}));
  EXPECT_EQ(train.images.front(), 100);
  EXPECT_EQ(train.images.back(), 129);
  EXPECT_THAT(train.labels, ElementsAre(2, 0, 1));
  EXPECT_EQ(train.classes, 3);
  EXPECT_EQ(test.images.back(), 249);
  EXPECT_THAT(error_of([&] { load("validation"); }), HasSubstr("expected the split train or test"));
}

TEST_F(IdxTest, RefusesFilesThatAreNotWhatTheySay) {
  const std::string file = "train-images-idx3-ubyte";
  EXPECT_THAT(error_with(file, kLabels), EndsWith(": expected an IDX file of bytes with 3 dimensions (magic number "
                                                  "0x00000803), got 0x00000801"));
  EXPECT_THAT(error_with(file, images(0) + "x"), EndsWith(": expected 46 bytes by its header, got 47"));
  EXPECT_THAT(error_with(file, images(0).substr(0, 45)), EndsWith(": expected 46 bytes by its header, got 45"));
  EXPECT_THAT(error_with(file, images(0).substr(0, 6)),
              EndsWith(": the file is cut short: expected a header of 16 bytes, got 6 bytes"));
  EXPECT_THAT(error_with(file, "ab"), EndsWith(": the file is cut short: expected a header of 16 bytes, got 2 bytes"));
  EXPECT_THAT(error_with(file, word(0x803) + word(0xFFFFFFFF) + word(0xFFFFFFFF) + word(0xFFFFFFFF)),
              HasSubstr("got extent 4294967295 as number 2"));
  EXPECT_THAT(error_with(file, word(0x803) + word(0) + word(2) + word(5)), HasSubstr("got extent 0 as number 1"));
}

TEST_F(IdxTest, RefusesLabelsThatDoNotFit) {
  const std::string file = "train-labels-idx1-ubyte";
  EXPECT_THAT(error_with(file, word(0x801) + word(2) + std::string("\2\0", 2)),
              EndsWith(": expected 3 labels like images, got 2"));
  EXPECT_THAT(error_with(file, word(0x801) + word(3) + "\2\3\1"),
              HasSubstr("image 1 has the label 3, expected 0 to 2"));
}

TEST_F(IdxTest, NamesWhatIsMissing) {
  const std::string file = "train-labels-idx1-ubyte";
  std::filesystem::remove(folder_ / file);
  EXPECT_THAT(error_of([&] { load("train"); }), EndsWith(file + ": expected this file, and it is missing"));
  put_text(folder_ / (file + ".gz"), "");
  EXPECT_THAT(error_of([&] { load("train"); }),
              EndsWith(": found only train-labels-idx1-ubyte.gz; unpack it with gunzip --keep"));
}

TEST_F(IdxTest, NamesWhatCannotBeOpened) {
  const std::string file = "train-labels-idx1-ubyte";
  std::filesystem::remove(folder_ / file);
  std::filesystem::create_symlink(file, folder_ / file);
  EXPECT_THAT(error_of([&] { load("train"); }), AllOf(HasSubstr("cannot read "), HasSubstr("symbolic links")));
  std::filesystem::remove(folder_ / file);
  std::filesystem::create_directory(folder_ / file);
  EXPECT_THAT(error_of([&] { load("train"); }), EndsWith(file + ": it is a folder; expected a regular file"));
}

// A failure is neither a missing file nor a short one.
TEST_F(IdxTest, ReportsAFailureOfEveryCall) {
  const auto load = [&](FileSystem& file_system) {
    return load_idx_dataset(folder_.path(), "train", "letters", {"a", "b", "c"}, file_system);
  };
  const int calls = count_calls(load);
  EXPECT_GE(calls, 10);  // two files: open, size, header, values, close
  for (int at = 1; at <= calls; ++at) {
    FailingFileSystem broken(Fault::kIoError, at), interrupted(Fault::kInterrupted, at), full(Fault::kTooManyOpen, at);
    EXPECT_THAT(error_of([&] { load(broken); }),
                AllOf(HasSubstr("cannot read "), EndsWith("-ubyte: Input/output error")))
        << at;
    EXPECT_EQ(load(interrupted).count, 3) << at;
    EXPECT_EQ(load(full).count, 3) << at;  // a moment later a file can be opened
  }
}

TEST_F(IdxTest, ReportsTheUnknownKindOfAPackedFile) {
  std::filesystem::remove(folder_ / "train-images-idx3-ubyte");
  FailingFileSystem broken(Fault::kIoError, 2);
  EXPECT_THAT(error_of([&] {
                load_idx_dataset(folder_.path(), "train", "letters", {"a", "b", "c"}, broken);
              }),
              EndsWith("train-images-idx3-ubyte.gz: Input/output error"));
}

}  // namespace
}  // namespace gradamp
