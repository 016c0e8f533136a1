// SPDX-License-Identifier: MIT
#include "gradamp/data/download/published_files.h"

#include <cstdint>

#include "gradamp/core/error.h"
#include "gradamp/data/cifar/cifar.h"
#include "gradamp/data/download/digest.h"

namespace gradamp {

const std::map<std::string, std::string>& published_sums(const std::string& dataset) {
  // The sums that torchvision compares (datasets/cifar.py in github.com/pytorch/vision) after it has unpacked the
  // author's archives. Those of CIFAR-10's binary files are in the build files and loaders of several public projects,
  // which agree.
  static const std::map<std::string, std::string> kTen = {
      {"data_batch_1", "c99cafc152244af753f735de768cd75f"},
      {"data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"},
      {"data_batch_3", "54ebc095f3ab1f0389bbae665268c751"},
      {"data_batch_4", "634d18415352ddfa80567beed471001a"},
      {"data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"},
      {"test_batch", "40351d587109b95175f43aff81a1287e"},
      {"batches.meta", "5ff9c542aee3614f3951f8cda6e48888"},
      {"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"},
      {"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"},
      {"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"},
      {"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"},
      {"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"},
      {"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"},
  };
  static const std::map<std::string, std::string> kHundred = {
      {"train", "16019d7e3df5f24257cddd939b257f8d"},
      {"test", "f0ef6b0ae62326f3e7ffdfab6717acfc"},
      {"meta", "7973b15100ade9c7d40fb424638fde48"},
  };
  check(dataset == "cifar10" || dataset == "cifar100", "expected the dataset cifar10 or cifar100, got '{}'", dataset);
  return dataset == "cifar10" ? kTen : kHundred;
}

std::string describe(const ComparedFile& file) {
  if (file.published.empty())
    return fmt::format("{}: MD5 sum {}; that of the author's file is not known", file.path, file.sum);
  if (!file.is_another()) return fmt::format("{}: as published", file.path);
  return fmt::format("{}: not the published file (its MD5 sum is {}, that of the author's file is {})", file.path,
                     file.sum, file.published);
}

std::vector<ComparedFile> compare_with_published(const std::filesystem::path& path, const std::string& dataset,
                                                 const std::map<std::string, std::string>& published,
                                                 FileSystem& file_system) {
  std::vector<ComparedFile> files;
  const auto compare = [&](const std::string& name, const std::string& where,
                           const std::vector<std::uint8_t>& content) {
    Md5 md5;
    md5.add(content.data(), content.size());
    const auto known = published.find(name);
    files.push_back({where, md5.finish(), known == published.end() ? "" : known->second});
  };
  for_each_cifar_file(path, dataset, compare, file_system);
  return files;
}

}  // namespace gradamp
