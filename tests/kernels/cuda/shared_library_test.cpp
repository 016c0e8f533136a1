// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/shared_library.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gradamp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string error_of(const std::string& file, const std::string& folders) {
  try {
    const SharedLibrary library(file, folders);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// A folder with one file that is not a library.
class SharedLibraryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("shared_library_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "libdamaged.so.1") << "This text is longer than the header of a library would be, so that "
                                                  "the loader looks at what it says.";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(SharedLibraryTest, FindsWhatTheLoaderFinds) {
  const SharedLibrary library("libm.so.6", "");
  EXPECT_EQ(library.find<double(double)>("sqrt")(81.0), 9.0);
  EXPECT_THROW(library.find<double(double)>("no_such_function"), Error);
}

TEST_F(SharedLibraryTest, LooksInTheFoldersInTurn) {
  // One of this machine's libraries under a name that the loader does not know.
  Dl_info info{};
  const SharedLibrary libm("libm.so.6", "");
  ASSERT_NE(dladdr(reinterpret_cast<void*>(libm.find<double(double)>("cos")), &info), 0);
  std::filesystem::copy_file(info.dli_fname, folder_ / "libnowhere_else.so.1");
  EXPECT_NE(error_of("libnowhere_else.so.1", ""), "");
  EXPECT_NE(error_of("libnowhere_else.so.1", "/no/such/folder"), "");
  EXPECT_EQ(error_of("libnowhere_else.so.1", folder_.string()), "");
  EXPECT_EQ(error_of("libnowhere_else.so.1", "/no/such/folder::" + folder_.string()), "");
}

TEST_F(SharedLibraryTest, SaysWhyNothingWasLoaded) {
  EXPECT_THAT(
      error_of("libmissing.so.1", "/no/such/folder"),
      AllOf(HasSubstr("libmissing.so.1 cannot be loaded"), HasSubstr("No such file"), HasSubstr("LD_LIBRARY_PATH")));
  EXPECT_THAT(error_of("libdamaged.so.1", folder_.string() + ":/no/such/folder"),
              AllOf(HasSubstr((folder_ / "libdamaged.so.1").string()), Not(HasSubstr("No such file"))))
      << "a file that exists is the better reason";
}

}  // namespace
}  // namespace gradamp
