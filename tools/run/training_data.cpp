// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/training_data.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "gradamp/data/registry/datasets.h"

namespace gradamp {
namespace {

Dataset load_split(const RunSettings& settings, const std::string& split) {
  const std::int64_t wanted = split == "train" ? settings.train_images : settings.test_images;
  DatasetChoice choice;
  choice.name = settings.dataset;
  choice.path = settings.data;
  choice.seed = settings.data_seed;
  choice.allow_partial = settings.partial_data;
  (split == "train" ? choice.train_images : choice.test_images) = wanted;
  return load_dataset(choice, split);
}

/// The images of a run in host memory.
struct HostData {
  Dataset train, test;
  std::optional<Dataset> validation;
};

/// Moves the images that the settings hold out from the training images to `validation`.
void hold_out(const RunSettings& settings, Dataset& train, std::optional<Dataset>& validation) {
  if (settings.validation == 0) return;
  check(settings.validation < train.count, "--validation: expected fewer than the {} training images, got {}",
        train.count, settings.validation);
  std::tie(train, validation) = split_off_last(train, settings.validation);
}

HostData load_host_data(const RunSettings& settings) {
  HostData data{load_split(settings, "train"), load_split(settings, "test"), std::nullopt};
  hold_out(settings, data.train, data.validation);
  check_splits_agree(data.train, data.test);
  const std::int64_t most = std::min(data.train.height, data.train.width);
  check(!settings.augment || settings.crop_padding <= most,
        "--crop-padding: expected 0 to {} for images of {}x{} pixels, got {}", most, data.train.height,
        data.train.width, settings.crop_padding);
  check(settings.cutout <= most, "--cutout: expected 0 to {} for images of {}x{} pixels, got {}", most,
        data.train.height, data.train.width, settings.cutout);
  return data;
}

}  // namespace

Dataset load_training_images(const RunSettings& settings) {
  Dataset train = load_split(settings, "train");
  std::optional<Dataset> validation;
  hold_out(settings, train, validation);
  return train;
}

void check_training_data(const RunSettings& settings) { load_host_data(settings); }

LoadedData load_training_data(Backend& backend, const RunSettings& settings) {
  const HostData host = load_host_data(settings);
  std::string of_all = fingerprint(host.train) + ", " + fingerprint(host.test);
  if (host.validation) of_all += ", " + fingerprint(*host.validation);
  const Augmentation augmentation{settings.augment, settings.crop_padding, settings.flip, settings.cutout};
  return {upload_training_data(backend, host.train, host.test, augmentation, host.validation), std::move(of_all)};
}

}  // namespace gradamp
