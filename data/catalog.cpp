// SPDX-License-Identifier: MIT
#include "data/catalog.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "data/cifar.h"

namespace gradamp {

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names{"made", "cifar10", "cifar100", "cifar100-coarse"};
  return names;
}

Dataset load_dataset(const DatasetChoice& choice, const std::string& split) {
  const std::int64_t limit = split == "train" ? choice.train_images : choice.test_images;
  check(limit >= 0, "expected 0 (all) or more images of the split {}, got {}", split, limit);
  if (choice.name == "made") {
    const std::int64_t all = split == "train" ? kMadeTrainImages : kMadeTestImages;
    return make_dataset(choice.seed, split, limit == 0 ? all : limit);
  }
  Dataset dataset;
  const bool coarse = choice.name == "cifar100-coarse";
  check(coarse || choice.name == "cifar10" || choice.name == "cifar100", "unknown dataset '{}'; there are {}",
        choice.name, fmt::join(dataset_names(), ", "));
  check(!choice.path.empty(), "{}: expected the path of its folder or archive; `gradamp data fetch` downloads it",
        choice.name);
  if (choice.name == "cifar10") {
    Cifar10Options options;
    options.allow_partial = choice.allow_partial;
    dataset = load_cifar10(choice.path, split, options);
  } else {
    Cifar100Options options;
    options.coarse = coarse;
    options.allow_partial = choice.allow_partial;
    dataset = load_cifar100(choice.path, split, options);
  }
  if (limit == 0 || limit == dataset.count) return dataset;
  return first_images(dataset, limit);
}

}  // namespace gradamp
