// SPDX-License-Identifier: MIT
#include "gradamp/data/download/published_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "gradamp/data/download/archive.h"
#include "gradamp/data/download/digest.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/cifar/cifar_files.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::map<std::string, std::string> sums_of(const Files& files) {
  std::map<std::string, std::string> sums;
  for (const auto& [name, content] : files) {
    Md5 md5;
    md5.add(content.data(), content.size());
    sums[name] = md5.finish();
  }
  return sums;
}

/// The names of the files in the order of the comparison, each with "=" if it is as published, "?" if that is not known
/// and "!" if not.
std::vector<std::string> compared(const std::filesystem::path& path, const std::string& dataset,
                                  const std::map<std::string, std::string>& published) {
  std::vector<std::string> result;
  for (const ComparedFile& file : compare_with_published(path, dataset, published)) {
    const char* state = file.is_another() ? "!" : file.published.empty() ? "?" : "=";
    result.push_back(std::filesystem::path(file.path).filename().string() + state);
  }
  return result;
}

TEST(PublishedFiles, ComparesEveryFileOfAFolderAndOfAnArchive) {
  use_libarchive();
  const ScratchFolder scratch;
  Files files = tiny_cifar10_python(true);
  std::map<std::string, std::string> published = sums_of(files);
  files["data_batch_3"] += " ";
  published.erase("test_batch");
  write_files(scratch / "cifar-10-batches-py", files);
  write_text(scratch / "a.tar.gz", archive_of_files("cifar-10-batches-py", files));
  for (const auto& path : {scratch.path(), scratch / "cifar-10-batches-py", scratch / "a.tar.gz"}) {
    EXPECT_THAT(compared(path, "cifar10", published),
                ElementsAre("data_batch_1=", "data_batch_2=", "data_batch_3!",
                            "data_batch_4=", "data_batch_5=", "test_batch?", "batches.meta="))
        << path;
  }
  const Files hundred = tiny_cifar100_python(true), binary = tiny_cifar100_binary();
  write_files(scratch / "python", hundred);
  EXPECT_THAT(compared(scratch / "python", "cifar100", sums_of(hundred)), ElementsAre("train=", "test=", "meta="));
  write_files(scratch / "binary", binary);
  EXPECT_THAT(compared(scratch / "binary", "cifar100", sums_of(binary)),
              ElementsAre("train.bin=", "test.bin=", "fine_label_names.txt=", "coarse_label_names.txt="));
  std::filesystem::remove(scratch / "binary/coarse_label_names.txt");  // needed for the superclasses only
  EXPECT_THAT(compared(scratch / "binary", "cifar100", {}),
              ElementsAre("train.bin?", "test.bin?", "fine_label_names.txt?"));
}

TEST(PublishedFiles, AreDescribed) {
  EXPECT_EQ(describe({"d/train", "ab", "ab"}), "d/train: as published");
  EXPECT_EQ(describe({"d/train", "ab", "cd"}),
            "d/train: not the published file (its MD5 sum is ab, that of the author's file is cd)");
  EXPECT_EQ(describe({"d/train", "ab", ""}), "d/train: MD5 sum ab; that of the author's file is not known");
}

TEST(PublishedFiles, ReportsAFailureOfEveryCall) {
  const ScratchFolder scratch;
  write_files(scratch.path(), tiny_cifar10_binary());
  const auto compare = [&](FileSystem& file_system) {
    return compare_with_published(scratch.path(), "cifar10", {}, file_system).size();
  };
  for (int at = 1; at <= count_calls(compare); ++at) {
    FailingFileSystem broken(Fault::kIoError, at);
    EXPECT_THAT(test::error_of([&] { compare(broken); }), HasSubstr("Input/output error")) << at;
  }
}

// The list has every file of the Python versions and of CIFAR-10's binary version, and no sum twice, as a slip in
// copying it would.
TEST(PublishedFiles, TheListIsComplete) {
  Files ten = tiny_cifar10_python(true);
  ten.merge(tiny_cifar10_binary());
  ten.erase("batches.meta.txt");
  std::set<std::string> sums;
  for (const auto& [dataset, files] : {std::pair("cifar10", ten), std::pair("cifar100", tiny_cifar100_python(true))}) {
    EXPECT_EQ(published_sums(dataset).size(), files.size());
    for (const auto& [name, sum] : published_sums(dataset)) {
      EXPECT_TRUE(files.contains(name)) << name;
      EXPECT_EQ(sum.size(), 32u);
      EXPECT_EQ(sum.find_first_not_of("0123456789abcdef"), std::string::npos) << sum;
      EXPECT_TRUE(sums.insert(sum).second) << sum;
    }
  }
  EXPECT_THAT(test::error_of([] { published_sums("mnist"); }), HasSubstr("expected the dataset cifar10 or cifar100"));
}

}  // namespace
}  // namespace gradamp
