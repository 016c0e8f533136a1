// SPDX-License-Identifier: MIT
#include "gradamp/data/registry/datasets.h"

#include <string_view>
#include <utility>

#include <fmt/ranges.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/data/cifar/cifar.h"
#include "gradamp/data/idx.h"

namespace gradamp {
namespace {

Dataset load_synthetic(const DatasetChoice& choice, const std::string& split, std::int64_t images) {
  const std::int64_t all = split == "train" ? kSyntheticTrainImages : kSyntheticTestImages;
  return make_synthetic_dataset(choice.seed, split, images == 0 ? all : images);
}

Dataset load_ten(const DatasetChoice& choice, const std::string& split, std::int64_t) {
  Cifar10Options options;
  options.allow_partial = choice.allow_partial;
  return load_cifar10(choice.path, split, options);
}

template <bool kCoarse>
Dataset load_hundred(const DatasetChoice& choice, const std::string& split, std::int64_t) {
  Cifar100Options options;
  options.coarse = kCoarse;
  options.allow_partial = choice.allow_partial;
  return load_cifar100(choice.path, split, options);
}

Dataset load_mnist(const DatasetChoice& choice, const std::string& split, std::int64_t) {
  return load_idx_dataset(choice.path, split, "mnist", {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}

Dataset load_fashion_mnist(const DatasetChoice& choice, const std::string& split, std::int64_t) {
  return load_idx_dataset(
      choice.path, split, "fashion-mnist",
      {"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"});
}

const char* const kFetchTen = "`{program} data fetch --dataset cifar10` downloads it";
const char* const kFashionFiles = "its files are at https://github.com/zalandoresearch/fashion-mnist";
const char* const kFetchHundred = "`{program} data fetch --dataset cifar100` downloads it";

std::vector<DatasetSource>& sources() {
  const std::vector<std::string> ten = {"cifar-10-batches-bin", "cifar-10-batches-py"};
  const std::vector<std::string> hundred = {"cifar-100-binary", "cifar-100-python"};
  static std::vector<DatasetSource> all = {
      {"synthetic", kSyntheticTrainImages, kSyntheticTestImages, false, {}, "", load_synthetic},
      {"cifar10", 50000, 10000, true, ten, kFetchTen, load_ten},
      {"cifar100", 50000, 10000, true, hundred, kFetchHundred, load_hundred<false>},
      {"cifar100-coarse", 50000, 10000, true, hundred, kFetchHundred, load_hundred<true>},
      {"mnist", 60000, 10000, true, {"mnist"}, "", load_mnist},
      {"fashion-mnist", 60000, 10000, true, {"fashion-mnist"}, kFashionFiles, load_fashion_mnist},
  };
  return all;
}

}  // namespace

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const DatasetSource& source : sources()) names.push_back(source.name);
  return names;
}

std::string current_dataset_name(const std::string& name) { return name == "made" ? "synthetic" : name; }

const DatasetSource& dataset_source(const std::string& name) {
  for (const DatasetSource& source : sources())
    if (source.name == current_dataset_name(name)) return source;
  fail("unknown dataset '{}'; there are {}", name, fmt::join(dataset_names(), ", "));
}

void register_dataset(DatasetSource source) {
  constexpr std::string_view kOf = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  check(!source.name.empty() && source.name.find_first_not_of(kOf) == std::string::npos,
        "expected a dataset's name of letters, digits, '-', '_' and '.', got '{}'", source.name);
  check(source.load != nullptr, "dataset '{}': expected a function that loads it, got none", source.name);
  for (const DatasetSource& other : sources())
    check(other.name != current_dataset_name(source.name), "there is a dataset '{}' already; give yours another name",
          source.name);
  sources().push_back(std::move(source));
}

Dataset load_dataset(const DatasetChoice& choice, const std::string& split) {
  const DatasetSource& source = dataset_source(choice.name);
  const std::int64_t limit = split == "train" ? choice.train_images : choice.test_images;
  check(limit >= 0, "expected 0 (all) or more images of the split {}, got {}", split, limit);
  check(!source.is_read || !choice.path.empty(), "{}: expected the path of its folder or archive{}{}", choice.name,
        source.how_to_get.empty() ? "" : "; ", with_command_name(source.how_to_get));
  Dataset dataset = source.load(choice, split, limit);
  check_dataset(dataset);
  check(dataset.count >= limit, "dataset {} ({}): expected {} images, it has {}", choice.name, split, limit,
        dataset.count);
  if (limit == 0 || limit == dataset.count) return dataset;
  return first_images(dataset, limit);
}

}  // namespace gradamp
