// SPDX-License-Identifier: MIT
// PNG and JPEG files that another program wrote, whole and damaged.
#include "gradamp/data/images/image_file.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/tests/data/files/from_hex.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tests/data/images/recorded_images.h"

namespace gradamp {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

class ImageFile : public testing::Test {
 protected:
  void SetUp() override {
    if (!reads_image_files()) GTEST_SKIP() << "this build has no libpng or libjpeg";
  }
  DecodedImage read(const std::string& bytes, int channels = 3) {
    put_text(folder_ / "image", bytes);
    return read_image_file(folder_ / "image", channels);
  }
  std::string error(const std::string& bytes) {
    try {
      read(bytes);
    } catch (const Error& failure) {
      return failure.what();
    }
    return "(none)";
  }

  ScratchFolder folder_;
};

TEST_F(ImageFile, PngPixelsAreExact) {
  const std::vector<std::uint8_t> pixels{255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 128, 128, 128, 255, 255, 255};
  for (const std::string_view file : {test::kRgbPng, test::kPalettePng}) {
    const DecodedImage image = read(from_hex(file));
    EXPECT_EQ(image.height, 3);
    EXPECT_EQ(image.width, 2);
    EXPECT_EQ(image.channels, 3);
    EXPECT_EQ(image.values, pixels);
  }
  for (const std::string_view file : {test::kGrayPng, test::kGray16Png}) {
    EXPECT_THAT(read(from_hex(file), 1).values, ElementsAre(0, 100, 255));
    EXPECT_THAT(read(from_hex(file)).values, ElementsAre(0, 0, 0, 100, 100, 100, 255, 255, 255));
  }
}

TEST_F(ImageFile, TransparentPixelsAreWhite) {
  EXPECT_THAT(read(from_hex(test::kAlphaPng)).values, ElementsAre(255, 0, 0, 255, 255, 255));
}

TEST_F(ImageFile, JpegPixelsAreNearlyExact) {
  for (const std::string_view file : {test::kRgbJpeg, test::kProgressiveJpeg}) {
    const DecodedImage image = read(from_hex(file));
    EXPECT_EQ(image.height, 8);
    EXPECT_EQ(image.width, 8);
    ASSERT_EQ(image.values.size(), 192u);
    for (std::size_t i = 0; i < 192; ++i)
      EXPECT_NEAR(image.values[i], i % 3 == 0 ? 200 : i % 3 == 1 ? 100 : 50, 3) << i;
  }
  EXPECT_THAT(read(from_hex(test::kGrayJpeg), 1).values, Each(testing::AllOf(testing::Ge(75), testing::Le(79))));
  EXPECT_EQ(read(from_hex(test::kGrayJpeg)).values.size(), 192u);
}

TEST_F(ImageFile, OtherFilesAreRefused) {
  EXPECT_THAT(error(""), HasSubstr("expected a PNG or JPEG image, got an empty file"));
  EXPECT_THAT(error("GIF89a and more"),
              AllOf(HasSubstr("image: expected a PNG or JPEG image, got another kind of file")));
  EXPECT_THAT(error(from_hex(test::kCmykJpeg)), HasSubstr("expected gray or RGB"));
  EXPECT_THAT([&] { read_image_file(folder_ / "missing", 3); },
              testing::ThrowsMessage<Error>(HasSubstr("missing: No such file")));
  EXPECT_THAT([&] { read_image_file(folder_.path(), 3); }, testing::ThrowsMessage<Error>(HasSubstr("it is a folder")));
}

TEST_F(ImageFile, TooManyPixelsAreRefusedBeforeTheyAreDecoded) {
  EXPECT_THAT(error(from_hex(test::kHugePng)), HasSubstr("expected at most 100000000 pixels, got 20000x20000"));
  EXPECT_THAT(error(from_hex(test::kHugeJpeg)), HasSubstr("expected at most 100000000 pixels, got 60000x60000"));
}

TEST_F(ImageFile, OneThatIsCutOffOrChangedGivesAnErrorOrAnImage) {
  for (const std::string_view digits :
       {test::kRgbPng, test::kPalettePng, test::kAlphaPng, test::kRgbJpeg, test::kProgressiveJpeg, test::kGrayJpeg}) {
    const std::string whole = from_hex(digits);
    // The last bytes are the file's end mark, without which libjpeg and libpng have all pixels.
    for (std::size_t size = 0; size + 14 < whole.size(); ++size)
      EXPECT_NE(error(whole.substr(0, size)), "(none)") << size << " of " << whole.size() << " bytes";
    for (std::size_t i = 0; i < whole.size(); ++i) {
      std::string changed = whole;
      changed[i] = static_cast<char>(~changed[i]);
      error(changed);  // must return
    }
  }
}

}  // namespace
}  // namespace gradamp
